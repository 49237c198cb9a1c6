"""Tools on the telephone: while one works the caller hears a filler, and of a failure words."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.tones import chord_of
from tests.fakes.receiver import Receiver
from tests.voice.conftest import ASKS_TOOLS, GREETING, Dial, EndedCall

FILLER = "One moment please, I look into the calendar."
FREE = "There is an appointment at nine in the morning."
SORRY = "I am sorry, the calendar does not work at the moment."
CONNECTING = "I will connect you with the reception now."
ALONE = "I am sorry, I cannot connect you with the reception."
SCRIPT = Script(
    [
        Rule("appointment", call="free_slots"),
        Rule("goodbye", call="transfer", arguments={"target": "reception"}),
        Rule("nine", role="tool", say=FREE),
        Rule("free_slots failed: answered 500", role="tool", say=SORRY),
        Rule("still with you, not with reception", role="tool", say=ALONE),
    ]
)


@pytest.fixture
async def calendar(tool_port: int, models: ModelServer) -> AsyncIterator[Receiver]:
    models.script = SCRIPT
    async with Receiver(text="nine").serving(tool_port) as receiver:
        yield receiver


async def test_a_slow_tool_is_bridged_by_a_filler(dial: Dial, calendar: Receiver) -> None:
    calendar.hang_until = asyncio.Event()
    async with dial(ASKS_TOOLS) as telephone:
        await telephone.hears_out(GREETING)
        asked = await telephone.says("book")
        filler = await telephone.hears_out(FILLER)
        calendar.hang_until.set()
        await telephone.hears_out(FREE)
        chords = [spoken.chord for spoken in telephone.heard()]
    assert chords == [chord_of(text) for text in (GREETING, FILLER, FREE)]
    assert filler.start - asked > 1.5
    assert calendar.bodies[0]["call"]["call_id"] == telephone.call_id
    assert calendar.bodies[0]["call"]["to_number"] == ASKS_TOOLS


async def test_a_tool_that_fails_is_told_to_the_caller(dial: Dial, calendar: Receiver) -> None:
    calendar.answer = lambda _: 500
    async with dial(ASKS_TOOLS) as telephone:
        await telephone.hears_out(GREETING)
        await telephone.says("book")
        await telephone.hears_out(SORRY)


async def test_a_transfer_that_is_not_allowed_leaves_the_caller_with_the_agent(
    dial: Dial, calendar: Receiver, ended_call: EndedCall
) -> None:
    async with dial(ASKS_TOOLS) as telephone:
        await telephone.hears_out(GREETING)
        await telephone.says("goodbye")
        await telephone.hears_out(CONNECTING)
        await telephone.hears_out(ALONE)
    call = await ended_call(telephone)
    assert call["disconnection_reason"] == "user_hangup"
