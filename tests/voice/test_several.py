"""Several conversations at once, each whole."""

import asyncio
import os

import pytest

from gateway.tools.simulate.tones import Heard, chord_of, length
from tests.voice.conftest import ASKS_DAY, GREETING, RECEPTIONIST, Dial

#: A silence within a sentence, in s, that nobody should hear. `bench` has the measured ones.
MAX_GAP = 0.25
#: With more processes than this that want a CPU each, what is lost says nothing about the agent.
OVERLOADED = 1.5


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
    is_overloaded = os.getloadavg()[0] > OVERLOADED * (os.cpu_count() or 1)
    for heard in conversations:
        # A busy machine plays the caller's sentence in parts, the first of which says nothing yet.
        sentences = (GREETING, ASKS_DAY, RECEPTIONIST.otherwise)
        assert {it.chord for it in heard} <= {chord_of(sentence) for sentence in sentences}
        for sentence in (GREETING, ASKS_DAY):
            parts = [it for it in heard if it.chord == chord_of(sentence)]
            assert parts
            if not is_overloaded:
                assert sum(it.end - it.start for it in parts) > length(sentence) - 0.3
                assert [it.gap < MAX_GAP for it in parts] == [True]
