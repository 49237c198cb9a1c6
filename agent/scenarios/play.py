"""Plays a scenario in text: the user's words to the model, what it says and does to the checks."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from livekit.agents import APIError, RunResult, StopResponse, mock_tools
from livekit.agents.llm import Tool, Toolset
from livekit.agents.voice.run_result import (
    ChatMessageEvent,
    FunctionCallEvent,
    FunctionCallOutputEvent,
    RunEvent,
)

from agent.ending import Ending
from agent.scenarios.checks import Check, Happened, ToolCall, checks
from agent.scenarios.scenario import Scenario, Turn
from agent.voice.greeting import Greeting
from agent.voice.models import LLM
from agent.voice.voice_agent import VoiceAgent
from agent.voice.voice_call import VoiceCall

#: How long a turn may take, its tools included, in s.
TURN_LIMIT = 120.0

#: Called with each turn, once it is over.
OnTurn = Callable[[Turn, Happened, list[Check]], object]


class TurnFailed(Exception):
    """The agent did not get through a turn; the text says which one, and why."""

    def __init__(self, turn: Turn, why: str) -> None:
        super().__init__(f"{turn.user or 'the greeting'}: {why}")


class TextAgent(VoiceAgent):
    """Greets as an agent on the telephone does."""

    def __init__(self, voice: VoiceCall, tools: Sequence[Tool | Toolset]) -> None:
        super().__init__(instructions=voice.profile.instructions, tools=list(tools))
        self._voice = voice

    async def on_enter(self) -> None:
        await Greeting(self._voice).say()


async def play(
    scenario: Scenario, voice: VoiceCall, tools: Sequence[Tool | Toolset], llm: LLM, on_turn: OnTurn
) -> None:
    """Play it in `voice.session`, which has not started. `llm` judges.

    Raises TurnFailed; a check that fails is no reason to stop.
    """
    answers = dict(scenario.answers)
    greeting = () if scenario.turns[0].user is None else (Turn(),)
    player = _Player(voice, TextAgent(voice, tools), llm)
    for turn in (*greeting, *scenario.turns):
        answers |= turn.answers
        on_turn(turn, *await player.play(turn, answers))


class _Player:
    def __init__(self, voice: VoiceCall, agent: TextAgent, llm: LLM) -> None:
        self._voice = voice
        self._agent = agent
        self._llm = llm
        self._transfer = ""

    async def play(self, turn: Turn, answers: Mapping[str, Any]) -> tuple[Happened, list[Check]]:
        if self._voice.ends.has_ended:
            raise TurnFailed(turn, "the call has ended, but the user has more to say")
        with mock_tools(TextAgent, self._mocks(answers)):
            result = await self._result(turn)
        happened = await self._happened(result.events)
        return happened, [*checks(turn.expect, happened), *await self._judged(turn, result)]

    async def _result(self, turn: Turn) -> RunResult[None]:
        session = self._voice.session
        try:
            async with asyncio.timeout(TURN_LIMIT):
                if turn.user is None:
                    return await session.start(self._agent, capture_run=True, record=False)
                return await session.run(user_input=turn.user)
        except TimeoutError as error:
            raise TurnFailed(turn, f"the agent took more than {TURN_LIMIT:g} s") from error
        except APIError as error:
            raise TurnFailed(turn, f"the model failed: {error}") from error

    def _mocks(self, answers: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
        """What would need a telephone succeeds, unless an answer says otherwise."""
        return {
            "transfer": self._transferred,
            "send_keys": _answer("sent"),
            **{name: _answer(value) for name, value in answers.items()},
        }

    async def _transferred(self, raw_arguments: dict[str, Any]) -> None:
        self._transfer = str(raw_arguments.get("target", ""))
        self._voice.ends.end(Ending("transferred"))
        raise StopResponse

    async def _happened(self, events: Sequence[RunEvent]) -> Happened:
        ends = self._voice.ends
        return Happened(
            events=tuple(_in_order(events)),
            transfer=self._transfer,
            ending=await ends.first() if ends.has_ended else None,
        )

    async def _judged(self, turn: Turn, result: RunResult[None]) -> list[Check]:
        """What the model thinks of the last sentence."""
        intent, events = turn.expect.means, result.events
        if not intent:
            return []
        check = f"means {intent}"
        last = max((i for i, event in enumerate(events) if _is_said(event)), default=None)
        if last is None:
            return [Check(check, "it said: nothing")]
        try:
            message = result.expect[last].is_message(role="assistant")
            await message.judge(self._llm, intent=intent)
        except AssertionError as error:
            return [Check(check, str(error).partition("\n")[0])]
        except APIError as error:
            raise TurnFailed(turn, f"the model could not judge: {error}") from error
        return [Check(check)]


def _answer(value: Any) -> Callable[[], Awaitable[str]]:
    async def answer() -> str:
        return value if isinstance(value, str) else json.dumps(value)

    return answer


def _is_said(event: RunEvent) -> TypeGuard[ChatMessageEvent]:
    return isinstance(event, ChatMessageEvent) and event.item.role == "assistant"


def _in_order(events: Sequence[RunEvent]) -> Iterator[str | ToolCall]:
    outputs = {
        event.item.call_id: event.item.output
        for event in events
        if isinstance(event, FunctionCallOutputEvent)
    }
    for event in events:
        if isinstance(event, FunctionCallEvent):
            call = event.item
            yield ToolCall(call.name, json.loads(call.arguments), outputs.get(call.call_id, ""))
        elif _is_said(event):
            yield event.item.text_content or ""
