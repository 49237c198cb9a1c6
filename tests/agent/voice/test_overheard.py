"""What is said over an agent that must not be interrupted is answered; what was answered is not."""

import asyncio
from typing import Any

import pytest

from agent.voice.overheard import MARGIN, overheard
from gateway.tools.simulate.model_server import Service
from tests.agent.voice.on_the_line import ANSWER, TURNS, WORDS, Line, on_the_line

pytestmark = pytest.mark.conversation

GREETING = "Hello, this is the clinic, and I go on whatever you say."
#: By then a turn that was dropped would be answered, in s.
SOON = 0.4 + 2 * MARGIN


def profile(*, interruptions: bool) -> dict[str, Any]:
    return {"greeting": GREETING, "turn_handling": {**TURNS, "interruptions": interruptions}}


def asked(line: Line) -> list[list[str]]:
    """What the caller has said, as each request to the LLM has it."""
    return [
        [it["content"] for it in request["messages"] if it["role"] == "user"]
        for request in line.models.received(Service.LLM)
    ]


async def test_what_is_said_over_the_greeting_is_answered_after_it() -> None:
    async with on_the_line(overheard, profile=profile(interruptions=False)) as line:
        await line.hears()
        await line.says()
        greeting = await line.hears_out()
        await line.hears_out(greeting.end)
        assert line.transcript() == [("agent", GREETING), ("user", WORDS), ("agent", ANSWER)]
        assert asked(line) == [[WORDS]]


@pytest.mark.parametrize("over_the_greeting", [True, False])
async def test_a_turn_that_was_answered_is_not_answered_again(over_the_greeting: bool) -> None:
    async with on_the_line(overheard, profile=profile(interruptions=True)) as line:
        await (line.hears() if over_the_greeting else line.hears_out())
        answer = await line.hears_out(await line.says())
        with pytest.raises(TimeoutError):
            await line.hears(answer.end, within=SOON)
        assert asked(line)[-1] == [WORDS]


async def test_a_mailbox_that_talks_is_not_answered() -> None:
    async with on_the_line(overheard, profile=profile(interruptions=False)) as line:
        await line.hears()
        line.voice.is_listening = True
        await line.says()
        greeting = await line.hears_out()
        await asyncio.sleep(SOON)
        line.voice.is_listening = False
        with pytest.raises(TimeoutError):
            await line.hears(greeting.end, within=SOON)
