"""Several conversations at once, each whole."""

import asyncio

import pytest

from gateway.tools.simulate.tones import WORD_SECONDS, Heard
from tests.voice.conftest import ASKS_DAY, BOOKED, GREETING, Dial

#: A silence within a sentence, in s, that nobody should hear even while the machine is busy with
#: other tests. `bench` has the measured ones.
MAX_GAP = 0.25


@pytest.mark.parametrize("number", [2, 4])
async def test_conversations_at_once(dial: Dial, number: int) -> None:
    async def converse(caller: str) -> list[Heard]:
        async with dial(from_=caller) as telephone:
            await telephone.hears_out(GREETING)
            await telephone.says("book")
            await telephone.hears_out(ASKS_DAY)
            await telephone.says("tomorrow")
            await telephone.hears_out(BOOKED)
            return telephone.heard()

    callers = [f"+155501{10 + index}" for index in range(number)]
    for heard in await asyncio.gather(*map(converse, callers)):
        assert len(heard) == 3
        for sentence, spoken in zip((GREETING, ASKS_DAY, BOOKED), heard, strict=True):
            length = len(sentence.split()) * WORD_SECONDS
            assert spoken.end - spoken.start == pytest.approx(length, abs=0.3), sentence
            assert spoken.gap < MAX_GAP
