"""A caller who says nothing is asked whether they are there, and then hung up on."""

from tests.voice.conftest import ASKS_DAY, GREETING, QUIET, Dial, EndedCall

PROMPT = "Are you still there on the telephone?"
LAST_WORDS = "I cannot hear you, so I will hang up now."


async def test_silence_is_prompted_and_ends_the_call(dial: Dial, ended_call: EndedCall) -> None:
    async with dial(QUIET) as telephone:
        greeting = await telephone.hears_out(GREETING)
        prompt = await telephone.hears_out(PROMPT)
        last = await telephone.hears(LAST_WORDS)
        await telephone.is_hung_up()
    assert prompt.start - greeting.end > 1.4
    assert last.start - prompt.end > 1.4
    call = await ended_call(telephone)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "inactivity")


async def test_a_caller_who_answers_the_prompt_is_talked_to(dial: Dial) -> None:
    async with dial(QUIET) as telephone:
        await telephone.hears_out(PROMPT)
        await telephone.says("book")
        await telephone.hears(ASKS_DAY)
