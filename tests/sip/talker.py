"""A telephone that converses: says recordings, and tells the agent's sentences by their chords."""

import array
import asyncio
import time
import wave
from importlib.resources.abc import Traversable

import numpy as np
import numpy.typing as npt

from gateway.tools.simulate.clips import clip
from gateway.tools.simulate.tones import PAUSE, Ear, Heard, chord_of
from tests.sip.telephone import RATE, Telephone, to_mu_law

SILENCE = 0xFF
#: From this correlation of their loudness on, what is heard is the recording; other recordings of
#: some seconds reach 0.5.
ALIKE = 0.8
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
        deadline = time.monotonic() + LIMIT
        while True:
            heard = self.heard()
            for it in heard:
                is_over = len(self.received) > (it.end + PAUSE) * RATE
                if it.chord == chord_of(sentence) and is_over:
                    return it
            assert time.monotonic() < deadline, f"not heard: {sentence!r}; but {heard}"
            await asyncio.sleep(0.1)

    async def hears_recording(self, file: Traversable) -> None:
        """Wait until a WAV file (mono, 16 bits) has been heard whole. Raises TimeoutError."""
        with file.open("rb") as data, wave.open(data) as recording:
            samples = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
            expected = _loudness(samples, recording.getframerate())
        async with asyncio.timeout(LIMIT):
            while _likeness(_loudness(np.array(self.received), RATE), expected) < ALIKE:
                await asyncio.sleep(0.1)

    def _tone(self, samples: int) -> bytes:
        said, self._to_say = self._to_say[:samples], self._to_say[samples:]
        return bytes(said) + bytes([SILENCE]) * (samples - len(said))


def _loudness(samples: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.float64]:
    """Of each 20 ms."""
    size = rate // 50
    blocks = samples[: len(samples) // size * size].reshape(-1, size).astype(float)
    loudness: npt.NDArray[np.float64] = np.sqrt((blocks**2).mean(axis=1))
    return loudness


def _likeness(heard: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> float:
    """The correlation at the place where it is highest; 0 if less has been heard."""
    if len(heard) < len(expected):
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(heard, len(expected))
    deviations = windows - windows.mean(axis=1, keepdims=True)
    wanted = expected - expected.mean()
    products = deviations @ wanted
    norms = np.linalg.norm(deviations, axis=1) * np.linalg.norm(wanted)
    return float((products / np.maximum(norms, 1)).max())
