"""The agent ends a call: once the goodbye has been heard, with one goodbye only."""

import pytest

from agent.ending import Ending
from agent.voice.tools import end_call
from tests.agent.tools.conftest import conversation, ended, model_of, turn
from tests.fakes.llm import Use

END = Use("end_call")
PROFILE = {"tools": [{"type": "end_call"}]}


async def test_a_model_that_says_goodbye_with_the_call_says_no_second_one() -> None:
    async with conversation(PROFILE, ["Thank you, goodbye.", END]) as voice:
        run = await turn(voice, "That is all.")
        assert await ended(voice) == Ending("the agent ended the call", "agent_hangup")
        said = [event.item.text_content for event in run.events if event.type == "message"]
        assert said == ["Thank you, goodbye."]
        assert len(model_of(voice).requests) == 1


async def test_a_model_that_only_calls_is_asked_for_the_goodbye() -> None:
    async with conversation(PROFILE, END, "Goodbye, and take care.") as voice:
        run = await turn(voice, "Bye.")
        run.expect.contains_message(role="assistant")
        assert (await ended(voice)).reason == "agent_hangup"
        assert model_of(voice).replies == []


async def test_the_words_before_another_tool_are_no_goodbye() -> None:
    profile = {"tools": [{"type": "end_call"}, {"type": "transfer"}], "transfer": {"text": ""}}
    look: list[str | Use] = ["Let me see.", Use("transfer", {"target": "nobody"})]
    async with conversation(profile, look, END, "Goodbye.") as voice:
        await turn(voice, "Bye.")
        assert (await ended(voice)).reason == "agent_hangup"
        assert model_of(voice).replies == []


async def test_a_goodbye_that_the_model_cannot_say_still_ends_the_call() -> None:
    async with conversation(PROFILE, END, None) as voice:
        await turn(voice, "Bye.")
        assert (await ended(voice)).reason == "agent_hangup"


async def test_a_goodbye_that_never_ends_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_call, "GOODBYE_TIMEOUT", 0.05)
    async with conversation(PROFILE, END, "Goodbye.") as voice:
        model_of(voice).delay = 0.5
        await turn(voice, "Bye.")
        assert (await ended(voice)).reason == "agent_hangup"
