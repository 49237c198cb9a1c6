"""Several conversations at once, each whole."""

import asyncio
import os

import pytest

from gateway.tools.simulate.tones import Heard, chord_of, length
from tests.voice.conftest import ASKS_DAY, GREETING, TOLERANCE, Dial

#: A silence within a sentence, in s, that nobody should hear. `bench` has the measured ones.
MAX_GAP = 0.25
#: With more processes than this that want each CPU, gaps say nothing about the agent.
OVERLOADED = 3.0


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
    load, cpus = os.getloadavg()[0], os.cpu_count() or 1
    if load > (cpus if number > cpus else OVERLOADED * cpus):
        return  # each was greeted and answered; `bench` measures how well
    for heard in conversations:
        assert len({it.chord for it in heard}) == 2, "every caller was understood"
        for sentence in (GREETING, ASKS_DAY):
            parts = [it for it in heard if it.chord == chord_of(sentence)]
            assert sum(it.end - it.start for it in parts) > length(sentence) - TOLERANCE
            assert [it.gap < MAX_GAP for it in parts] == [True]
