"""A telephone that converses: says recordings, and tells the agent's sentences by their chords."""

import array
import asyncio
import wave

import numpy as np

from gateway.tools.simulate.clips import clip
from gateway.tools.simulate.tones import PAUSE, Ear, Heard, chord_of
from tests.sip.telephone import RATE, Telephone, to_mu_law

SILENCE = 0xFF
#: How long a sentence may take, in s.
LIMIT = 30.0


class Talker(Telephone):
    """Silent, but for what it says."""

    def __init__(self) -> None:
        super().__init__()
        self._to_say = bytearray()
        self._ear = Ear(RATE)

    def says(self, name: str) -> None:
        """Say a clip, while the other side's packets come."""
        with wave.open(str(clip(name))) as file:
            samples = array.array("h", file.readframes(file.getnframes()))
        self._to_say += bytes(to_mu_law(sample) for sample in samples)

    def heard(self) -> list[Heard]:
        return self._ear.listen(np.array(self.received, dtype=np.int16))

    async def hears(self, sentence: str) -> Heard:
        """Wait until the sentence has ended. Raises AssertionError, with what was heard instead."""
        async with asyncio.timeout(LIMIT):
            while True:
                for it in self.heard():
                    is_over = len(self.received) > (it.end + PAUSE) * RATE
                    if it.chord == chord_of(sentence) and is_over:
                        return it
                await asyncio.sleep(0.1)

    def _tone(self, samples: int) -> bytes:
        said, self._to_say = self._to_say[:samples], self._to_say[samples:]
        return bytes(said) + bytes([SILENCE]) * (samples - len(said))
