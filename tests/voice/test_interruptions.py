"""A caller may interrupt the agent at any time, and is heard when they do."""

from gateway.tools.simulate.tones import length
from tests.voice.conftest import ASKS_DAY, GREETING, HOURS, TOLERANCE, Dial

#: How long the agent may go on once it is interrupted, in s; `bench` measures it.
LIMIT = 2.0


async def test_the_greeting_stops_and_what_is_said_over_it_is_heard(dial: Dial) -> None:
    async with dial() as telephone:
        await telephone.hears(GREETING)
        interrupted = telephone.caller.position
        await telephone.says("book")
        greeting = await telephone.hears_out(GREETING)
        await telephone.hears(ASKS_DAY)
    assert greeting.end - greeting.start < length(GREETING) - 0.3
    assert greeting.end - interrupted < LIMIT


async def test_an_answer_stops_and_the_interruption_is_answered(dial: Dial) -> None:
    async with dial() as telephone:
        await telephone.hears_out(GREETING)
        await telephone.says("hours")
        await telephone.hears(HOURS)
        interrupted = telephone.caller.position
        await telephone.says("book")
        answer = await telephone.hears_out(HOURS)
        await telephone.hears(ASKS_DAY)
    assert answer.end - answer.start < length(HOURS) - 0.5
    assert answer.end - interrupted < LIMIT


async def test_a_cough_does_not_interrupt(dial: Dial) -> None:
    async with dial() as telephone:
        await telephone.hears(GREETING)
        await telephone.says("cough")
        greeting = await telephone.hears_out(GREETING)
    assert greeting.end - greeting.start > length(GREETING) - TOLERANCE
