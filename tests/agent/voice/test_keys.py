"""Keys that the caller presses reach the model as a turn of theirs, and no record."""

import logging

import pytest
from livekit.agents import AgentSession
from livekit.agents.beta.workflows import GetDtmfTask

from agent.voice.keys import PAUSE, keys
from gateway.tools.simulate.model_server import Service
from tests.agent.voice.on_the_line import ANSWER, Line, on_the_line

pytestmark = pytest.mark.conversation


async def test_keys_are_a_turn_after_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with on_the_line(keys) as line:
        greeting = await line.hears_out()
        line.presses("739")
        answer = await line.hears_out(greeting.end)
        assert answer.start - greeting.end >= PAUSE - 0.1
        assert _last_message(line) == "[keys 7 3 9]"
        assert line.transcript()[-2:] == [("user", "[keys]"), ("agent", ANSWER)]
    assert "7 3 9" not in caplog.text


async def test_a_pound_ends_the_turn_at_once() -> None:
    async with on_the_line(keys) as line:
        greeting = await line.hears_out()
        line.presses("1#")
        answer = await line.hears_out(greeting.end)
        assert answer.start - greeting.end < PAUSE
        assert _last_message(line) == "[keys 1]"


async def test_a_key_interrupts_the_agent() -> None:
    async with on_the_line(keys) as line:
        greeting = await line.hears()
        line.presses("1#")
        await line.hears_out(greeting.start + 0.01)
        assert greeting.seconds < 2
        assert line.transcript()[-1] == ("agent", ANSWER)


async def test_only_the_callers_keys_count() -> None:
    async with on_the_line(keys) as line:
        greeting = await line.hears_out()
        line.presses("1#", identity="colleague")
        line.voice.is_leaving = True
        line.presses("1#")
        line.voice.is_leaving = False
        with pytest.raises(TimeoutError):
            await line.hears(greeting.end, within=1.5)


async def test_keys_that_a_tool_asks_for_are_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    async with on_the_line(keys) as line:
        greeting = await line.hears_out()
        task = GetDtmfTask(num_digits=4)
        with monkeypatch.context() as patch:
            patch.setattr(AgentSession, "current_agent", property(lambda _: task))
            line.presses("1#")
        with pytest.raises(TimeoutError):
            await line.hears(greeting.end, within=1.5)


def _last_message(line: Line) -> object:
    return line.models.received(Service.LLM)[-1]["messages"][-1]["content"]
