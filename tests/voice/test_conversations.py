"""Whole conversations: what the caller says is understood, what the agent says is heard."""

import pytest

from gateway.tools.simulate.tones import length
from tests.voice.conftest import (
    ASKS_DAY,
    BOOKED,
    BOOKING,
    DETECTOR,
    GOODBYE,
    GREETING,
    TOLERANCE,
    Dial,
    EndedCall,
    words,
)

#: How long after the agent's last word the caller may wait for its hang-up, in s; `bench` measures
#: what they do wait.
HANG_UP_LIMIT = 2.0


async def test_from_the_greeting_to_the_agents_goodbye(dial: Dial, ended_call: EndedCall) -> None:
    async with dial() as telephone:
        await telephone.hears_out(GREETING)
        await telephone.says("book")
        await telephone.hears_out(ASKS_DAY)
        await telephone.says("tomorrow")
        await telephone.hears_out(BOOKED)
        await telephone.says("goodbye")
        await telephone.hears(GOODBYE)
        hung_up = await telephone.is_hung_up()
        heard = telephone.heard()
    assert len(heard) == 4, "each sentence once, and nothing else"
    for sentence, spoken in zip((GREETING, ASKS_DAY, BOOKED, GOODBYE), heard, strict=True):
        assert spoken.end - spoken.start == pytest.approx(length(sentence), abs=TOLERANCE)
    assert hung_up - heard[-1].end < HANG_UP_LIMIT
    call = await ended_call(telephone)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "agent_hangup")
    assert words(call) == BOOKING


async def test_a_caller_who_hangs_up(dial: Dial, ended_call: EndedCall) -> None:
    async with dial() as telephone:
        await telephone.hears(GREETING)
    call = await ended_call(telephone)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


async def test_the_default_turn_detector(dial: Dial) -> None:
    async with dial(DETECTOR) as telephone:
        await telephone.hears_out(GREETING)
        await telephone.says("book")
        await telephone.hears_out(ASKS_DAY)
