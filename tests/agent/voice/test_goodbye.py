"""Before a call reaches its longest duration the agent says goodbye, and hangs up."""

import time

import pytest

from agent.ending import Ending
from agent.voice.goodbye import max_duration
from gateway.tools.simulate.model_script import Script
from tests.agent.voice.on_the_line import GREETING, on_the_line

pytestmark = pytest.mark.conversation

TEXT = "I am sorry, our time is up. Goodbye to you."
GOODBYE = {"goodbye": {"before": 2.0, "text": TEXT}}
ENDING = Ending("the call reached its max_call_duration", "max_duration_reached")


async def test_the_goodbye_comes_in_time_and_the_end_right_after_it() -> None:
    async with on_the_line(max_duration, profile=GOODBYE, max_call_duration=6) as line:
        answered = time.monotonic()
        greeting = await line.hears_out()
        goodbye = await line.hears(greeting.end)
        assert 4.0 < goodbye.start - answered < 6.0
        assert await line.ends() == ENDING
        assert time.monotonic() - line.ear.heard[-1].end < 1
        assert line.transcript() == [("agent", GREETING), ("agent", TEXT)]


async def test_the_goodbye_does_not_wait_for_a_long_answer() -> None:
    async with on_the_line(max_duration, profile=GOODBYE, max_call_duration=8) as line:
        line.models.script = Script(otherwise="and so on " * 20)
        await line.hears_out()
        await line.says()
        assert await line.ends(within=12) == ENDING
        assert line.transcript()[-1] == ("agent", TEXT)


async def test_a_call_shorter_than_the_goodbyes_lead_is_half_a_call() -> None:
    profile = {"goodbye": {"before": 20.0, "text": TEXT}}
    async with on_the_line(max_duration, profile=profile, max_call_duration=6) as line:
        answered = time.monotonic()
        greeting = await line.hears_out()
        goodbye = await line.hears(greeting.end)
        assert 3.0 < goodbye.start - answered < 5.0
        assert await line.ends() == ENDING
        assert line.transcript() == [("agent", GREETING), ("agent", TEXT)]


async def test_a_transfer_that_runs_is_not_talked_into() -> None:
    async with on_the_line(max_duration, profile=GOODBYE, max_call_duration=6) as line:
        await line.hears_out()
        line.voice.is_leaving = True
        with pytest.raises(TimeoutError):
            await line.ends(within=4)
        line.voice.is_leaving = False
        assert await line.ends() == ENDING


@pytest.mark.parametrize(
    ("limit", "goodbye"),
    [(0, GOODBYE), (3, {"goodbye": {"before": 0.0}}), (3, {"goodbye": {"text": ""}})],
)
async def test_nothing_is_said_where_nothing_is_wanted(
    limit: int, goodbye: dict[str, object]
) -> None:
    async with on_the_line(max_duration, profile=goodbye, max_call_duration=limit) as line:
        with pytest.raises(TimeoutError):
            await line.ends(within=3.5)
