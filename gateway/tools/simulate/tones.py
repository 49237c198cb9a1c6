"""Speech that a test can tell by ear: each sentence is a chord of its own, as long as its words."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: In Hz; a chord is one of each. A telephone line carries them, and none is a key's (DTMF).
LOW = range(400, 1200, 40)
HIGH = range(1320, 2920, 40)
#: The peak of each tone; together they are as loud as a voice.
AMPLITUDE = 6_000
WORD_SECONDS = 0.3
#: How long a chord takes to become loud and silent, in s: without it clicks are heard.
FADE = 0.01
#: `listen` looks at so much audio at a time, in s, and this often.
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


def speech(sentence: str, rate: int) -> bytes:
    """The sentence's chord, as 16-bit mono samples."""
    seconds = max(len(sentence.split()), 1) * WORD_SECONDS
    time = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * tone * time) for tone in chord_of(sentence))
    fade = np.clip(np.minimum(time, seconds - time) / FADE, 0, 1)
    return (AMPLITUDE * fade * wave).astype("<i2").tobytes()


def listen(samples: Samples, rate: int) -> list[Heard]:
    """The chords of a recording in their order; whatever else is heard is left out."""
    found: list[tuple[Chord, float, float]] = []
    for middle, chord in _windows(samples, rate):
        start, end = middle - HOP / 2, middle + HOP / 2
        if found and found[-1][0] == chord and start - found[-1][2] < PAUSE:
            start = found.pop()[1]
        found.append((chord, start, end))
    # Where one chord follows another without a pause, a window has parts of both.
    found = [it for it in found if it[2] - it[1] >= WINDOW]
    return [
        Heard(chord, start, end, _gap(samples[round(start * rate) : round(end * rate)], rate))
        for chord, start, end in found
    ]


def _gap(samples: Samples, rate: int) -> float:
    """The longest silence, in s, to 5 ms: a chord itself is never that quiet for longer."""
    size = rate // 200
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    loud = np.nonzero(np.abs(blocks).max(axis=1) >= AUDIBLE)[0]
    return float(np.diff(loud).max(initial=1) - 1) * size / rate


def _windows(samples: Samples, rate: int) -> Iterator[tuple[float, Chord]]:
    """The middle of each window with a chord, in s, and that chord."""
    size, hop = round(WINDOW * rate), round(HOP * rate)
    if len(samples) < size:
        return
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    shape = np.hanning(size)
    frequencies = np.fft.rfftfreq(4 * size, 1 / rate)
    low, high = (_band(frequencies, band) for band in (LOW, HIGH))
    for number, window in enumerate(windows):
        if np.abs(window).mean() < AUDIBLE:
            continue
        power = np.abs(np.fft.rfft(window * shape, 4 * size)) ** 2
        peaks = [band[power[band].argmax()] for band in (low, high)]
        if sum(power[peak - 8 : peak + 9].sum() for peak in peaks) < PURE * power.sum():
            continue
        chord = _nearest(frequencies[peaks[0]], LOW), _nearest(frequencies[peaks[1]], HIGH)
        yield round(number * HOP + WINDOW / 2, 3), chord


def _band(frequencies: npt.NDArray[np.floating[Any]], band: range) -> npt.NDArray[np.intp]:
    around = band.step / 2
    return np.nonzero((frequencies > band[0] - around) & (frequencies < band[-1] + around))[0]


def _nearest(frequency: float, band: range) -> int:
    return band[round((frequency - band.start) / band.step)]
