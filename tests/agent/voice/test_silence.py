"""A caller who says nothing is asked, and then hung up on; one who makes a sound is not."""

import time
from typing import Any

import pytest

from agent.ending import Ending
from agent.voice.keys import keys
from agent.voice.silence import silence
from tests.agent.voice.on_the_line import ANSWER, GREETING, on_the_line

pytestmark = pytest.mark.conversation

PROMPT = "Are you still there?"
GOODBYE = "I hang up now."
AFTER = 1.0
SILENCE = {"after": AFTER, "prompts": [PROMPT], "goodbye": GOODBYE}
INACTIVITY = Ending("the caller was silent", "inactivity")


def profile(**changes: Any) -> dict[str, Any]:
    return {"silence": {**SILENCE, **changes}}


async def test_prompts_then_a_goodbye_and_the_end() -> None:
    async with on_the_line(silence, profile=profile()) as line:
        assert await line.ends() == INACTIVITY
        assert line.transcript() == [("agent", GREETING), ("agent", PROMPT), ("agent", GOODBYE)]
        greeting, prompt, goodbye = line.ear.heard
        assert prompt.start - greeting.end >= AFTER - 0.1
        assert goodbye.start - prompt.end >= AFTER - 0.1
        assert time.monotonic() - goodbye.end < 1


async def test_without_prompts_and_goodbye_the_call_just_ends() -> None:
    async with on_the_line(silence, profile=profile(prompts=[], goodbye="")) as line:
        assert await line.ends() == INACTIVITY
        assert line.transcript() == [("agent", GREETING)]


async def test_who_answers_a_prompt_gets_all_prompts_again() -> None:
    async with on_the_line(silence, profile=profile()) as line:
        greeting = await line.hears_out()
        await line.hears_out(greeting.end)
        await line.hears_out(await line.says())
        assert await line.ends() == INACTIVITY
        assert [text for role, text in line.transcript() if role == "agent"] == [
            GREETING,
            PROMPT,
            ANSWER,
            PROMPT,
            GOODBYE,
        ]


async def test_who_speaks_during_the_goodbye_is_not_hung_up_on() -> None:
    async with on_the_line(silence, profile=profile(prompts=[])) as line:
        greeting = await line.hears_out()
        await line.hears(greeting.end)
        await line.hears_out(await line.says())
        assert not line.ending.done()
        assert line.transcript()[-1] == ("agent", ANSWER)


async def test_who_presses_a_key_gets_all_prompts_again() -> None:
    async with on_the_line(silence, keys, profile=profile()) as line:
        greeting = await line.hears_out()
        prompt = await line.hears_out(greeting.end)
        line.presses("1#")
        answer = await line.hears_out(prompt.end)
        await line.hears_out(answer.end)
        assert line.transcript()[-1] == ("agent", PROMPT)


async def test_nobody_is_asked_while_they_are_transferred() -> None:
    async with on_the_line(silence, profile=profile(prompts=[], goodbye="")) as line:
        await line.hears_out()
        line.voice.is_leaving = True
        with pytest.raises(TimeoutError):
            await line.ends(within=3 * AFTER)
        line.voice.is_leaving = False
        assert await line.ends() == INACTIVITY


async def test_nobody_is_asked_who_has_not_answered() -> None:
    async with on_the_line(silence, greets=False, profile=profile(prompts=[])) as line:
        line.voice.caller = None
        with pytest.raises(TimeoutError):
            await line.hears(within=2 * AFTER)


async def test_zero_waits_for_ever() -> None:
    async with on_the_line(silence, profile=profile(after=0)) as line:
        greeting = await line.hears_out()
        with pytest.raises(TimeoutError):
            await line.hears(greeting.end, within=2.0)
