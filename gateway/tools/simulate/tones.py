"""Speech that a test can tell by ear: each sentence is a chord of its own, as long as its words."""

import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: In Hz; a chord is one of each. A telephone line carries them, and none is a key's (DTMF).
LOW = range(400, 1200, 40)
HIGH = range(1320, 2920, 40)
#: The peak of each tone; together they are as loud as a voice.
AMPLITUDE = 6_000
WORD_SECONDS = 0.2
#: How long a chord takes to become loud and silent, in s: without it clicks are heard.
FADE = 0.01
#: An ear listens to so much audio at a time, in s, and this often.
WINDOW, HOP = 0.04, 0.01
#: Below this amplitude nothing is heard.
AUDIBLE = 300
#: How much of the energy is in the two tones of a chord; coding leaves some beside them.
PURE = 0.5
#: A silence of so many s ends a chord; a shorter one is a gap in it.
PAUSE = 0.5

Chord = tuple[int, int]
Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Heard:
    """A chord in a recording. Times are in s; `gap` is the longest silence within it."""

    chord: Chord
    start: float
    end: float
    gap: float = 0.0


def chord_of(sentence: str) -> Chord:
    """Case and punctuation make no difference. Two of 40 sentences may have the same chord."""
    words = " ".join(re.findall(r"\w+", sentence.lower()))
    number = zlib.crc32(words.encode())
    return LOW[number % len(LOW)], HIGH[number // len(LOW) % len(HIGH)]


def length(sentence: str) -> float:
    """How long it takes to say it, in s."""
    return max(len(sentence.split()), 1) * WORD_SECONDS


def speech(sentence: str, rate: int) -> bytes:
    """The sentence's chord, as 16-bit mono samples."""
    seconds = length(sentence)
    time = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * tone * time) for tone in chord_of(sentence))
    fade = np.clip(np.minimum(time, seconds - time) / FADE, 0, 1)
    return (AMPLITUDE * fade * wave).astype("<i2").tobytes()


def listen(samples: Samples, rate: int) -> list[Heard]:
    """The chords of a whole recording."""
    return Ear(rate).listen(samples)


class Ear:
    """Tells the chords of a recording that goes on; whatever else is heard is left out."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._size, self._hop = round(WINDOW * rate), round(HOP * rate)
        self._shape = np.hanning(self._size)
        frequencies = np.fft.rfftfreq(4 * self._size, 1 / rate)
        self._frequencies = frequencies
        self._bands = [_band(frequencies, band) for band in (LOW, HIGH)]
        self._next = 0
        self._found: list[tuple[Chord, float, float]] = []

    def listen(self, samples: Samples) -> list[Heard]:
        """What has been heard in the recording, in its order. `samples` are all so far.

        What was examined before is not examined again.
        """
        while self._next * self._hop + self._size <= len(samples):
            at = self._next * self._hop
            if chord := self._chord(samples[at : at + self._size]):
                middle = (at + self._size / 2) / self._rate
                _append(self._found, chord, middle - HOP / 2, middle + HOP / 2)
            self._next += 1
        found: list[tuple[Chord, float, float]] = []
        for it in self._found:
            # A window with parts of two chords, or of a gap, sounds like another one.
            if it[2] - it[1] >= WINDOW:
                _append(found, *it)
        return [Heard(*it, gap=self._gap(samples, *it[1:])) for it in found]

    def _chord(self, window: Samples) -> Chord | None:
        if np.abs(window).mean() < AUDIBLE:
            return None
        power = np.abs(np.fft.rfft(window * self._shape, 4 * self._size)) ** 2
        low, high = (band[power[band].argmax()] for band in self._bands)
        if sum(power[peak - 8 : peak + 9].sum() for peak in (low, high)) < PURE * power.sum():
            return None
        return _nearest(self._frequencies[low], LOW), _nearest(self._frequencies[high], HIGH)

    def _gap(self, samples: Samples, start: float, end: float) -> float:
        """The longest silence, in s, to 5 ms: a chord itself is never that quiet for longer."""
        size = self._rate // 200
        sound = samples[round(start * self._rate) : round(end * self._rate)]
        blocks = sound[: len(sound) // size * size].reshape(-1, size)
        loud = np.nonzero(np.abs(blocks).max(axis=1) >= AUDIBLE)[0]
        return float(np.diff(loud).max(initial=1) - 1) * size / self._rate


def _append(
    found: list[tuple[Chord, float, float]], chord: Chord, start: float, end: float
) -> None:
    """Add what is heard from `start` to `end`; it may go on with what was heard last."""
    if found and found[-1][0] == chord and start - found[-1][2] < PAUSE:
        start = found.pop()[1]
    found.append((chord, start, end))


def _band(frequencies: npt.NDArray[np.floating[Any]], band: range) -> npt.NDArray[np.intp]:
    around = band.step / 2
    return np.nonzero((frequencies > band[0] - around) & (frequencies < band[-1] + around))[0]


def _nearest(frequency: float, band: range) -> int:
    return band[round((frequency - band.start) / band.step)]
