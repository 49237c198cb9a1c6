"""Several conversations at once, each whole."""

import asyncio
import os

import pytest

from gateway.tools.simulate.tones import Heard, chord_of, length
from tests.voice.conftest import ASKS_DAY, GREETING, Dial

#: A silence within a sentence, in s, that nobody should hear. `bench` has the measured ones.
MAX_GAP = 0.25
#: With more processes than CPUs, what is lost or late says nothing about the agent.
OVERLOADED = 1.0


@pytest.mark.parametrize("number", [2, 4])
async def test_conversations_at_once(dial: Dial, number: int) -> None:
    async def converse(caller: str) -> list[Heard]:
        async with dial(from_=caller) as telephone:
            await telephone.hears_out(GREETING)
            await telephone.says("book")
            await telephone.hears_out(ASKS_DAY)
            return telephone.heard()

    callers = [f"+155501{10 + index}" for index in range(number)]
    conversations = await asyncio.gather(*map(converse, callers))
    if os.getloadavg()[0] > OVERLOADED * (os.cpu_count() or 1):
        return  # each was greeted, understood and answered; `bench` measures how well
    for heard in conversations:
        assert [it.chord for it in heard] == [chord_of(GREETING), chord_of(ASKS_DAY)]
        for sentence, it in zip((GREETING, ASKS_DAY), heard, strict=True):
            assert it.end - it.start > length(sentence) - 0.3
            assert it.gap < MAX_GAP
