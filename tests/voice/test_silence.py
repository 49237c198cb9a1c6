"""A caller who says nothing is asked whether they are there, and in the end hung up on."""

from tests.voice.conftest import ASKS_DAY, GREETING, QUIET, Dial, EndedCall

PROMPT = "Are you still there on the telephone?"
LAST_WORDS = "I cannot hear you, so I will hang up now."
#: In s, as in agents.yaml, and how late the caller may hear less of it: audio is under way.
SILENCE, UNDER_WAY = 1.5, 0.1


async def test_silence_is_prompted_and_ends_the_call(dial: Dial, ended_call: EndedCall) -> None:
    async with dial(QUIET) as telephone:
        greeting = await telephone.hears_out(GREETING)
        prompt = await telephone.hears(PROMPT)
        assert prompt.start - greeting.end > SILENCE - UNDER_WAY
        answered = await telephone.says("book")
        answer = await telephone.hears_out(ASKS_DAY)
        prompt = await telephone.hears_out(PROMPT, after=answered)
        assert prompt.start - answer.end > SILENCE - UNDER_WAY
        last = await telephone.hears(LAST_WORDS)
        await telephone.is_hung_up()
    assert last.start - prompt.end > SILENCE - UNDER_WAY
    call = await ended_call(telephone)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "inactivity")
