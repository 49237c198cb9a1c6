"""A voice call in text: a real AgentSession, whose LLM says what the test wrote."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession, APIConnectOptions, llm

from agent.context import CallContext
from agent.profiles.profile import Profile
from agent.record import Record
from agent.voice.voice_call import VoiceCall

#: One answer: text, or the name of a tool and its arguments as JSON; or an error.
Answer = str | tuple[str, str] | Exception


class ScriptedLLM(llm.LLM[Any]):
    """Gives its answers in their order, each after `delay` s; `requests` are what it was asked."""

    def __init__(self, *answers: Answer, delay: float = 0.0) -> None:
        super().__init__()
        self.answers = list(answers)
        self.requests: list[llm.ChatContext] = []
        self.delay = delay

    def chat(self, *, chat_ctx: llm.ChatContext, **kwargs: Any) -> llm.LLMStream:
        self.requests.append(chat_ctx.copy())
        options = kwargs.get("conn_options") or APIConnectOptions(max_retry=0)
        return _Stream(
            self, chat_ctx=chat_ctx, tools=kwargs.get("tools") or [], conn_options=options
        )


class _Stream(llm.LLMStream):
    async def _run(self) -> None:
        scripted = cast(ScriptedLLM, self._llm)
        await asyncio.sleep(scripted.delay)
        answer = scripted.answers.pop(0) if scripted.answers else "Yes."
        if isinstance(answer, Exception):
            raise answer
        delta = llm.ChoiceDelta(role="assistant")
        if isinstance(answer, str):
            delta.content = answer
        else:
            name, arguments = answer
            call = llm.FunctionToolCall(name=name, arguments=arguments, call_id="call_1")
            delta.tool_calls = [call]
        self._event_ch.send_nowait(llm.ChatChunk(id="answer_1", delta=delta))


@asynccontextmanager
async def talking(
    model: ScriptedLLM,
    folder: Path,
    profile: Profile | None = None,
    tools: list[Any] | None = None,
    **call: Any,
) -> AsyncIterator[VoiceCall]:
    """A call whose session has started, in text."""
    job = SimpleNamespace(
        job=SimpleNamespace(id="AJ_1", room=SimpleNamespace(name="call-1")),
        room=SimpleNamespace(),
        session_directory=folder,
    )
    async with AgentSession[None](
        llm=model, vad=None, turn_handling={"turn_detection": None}
    ) as session:
        voice = VoiceCall(
            job=cast(Any, job),
            call=CallContext(call_id="call-1", **call),
            settings=cast(Any, None),
            profile=profile or Profile(),
            session=session,
            record=Record(pipeline="voice"),
        )
        await session.start(Agent(instructions="Be brief.", tools=tools or []))
        yield voice


@pytest.fixture
def talk(tmp_path: Path) -> Callable[..., Any]:
    """`talk(llm, profile, tools)`: see `talking`."""
    return lambda model, *args, **call: talking(model, tmp_path, *args, **call)
