"""Jambonz's media as seen live: a caller hears its tone, and LiveKit only once the legs are joined.

Jambonz (feature-server 0.9.8, sbc-inbound, FreeSWITCH 1.10.12) answers a caller with 183 and SDP at
once, and sends silence or what `dialMusic` names. It joins the legs 0.1 to 0.3 s after LiveKit's
200: what LiveKit sends before is lost.
"""

import array
import math
import re
import wave
from collections.abc import Sequence
from importlib.resources import files

from tests.sip.telephone import RATE, Telephone

#: How long after LiveKit's 200 Jambonz has joined the legs, in s: with `room` the longest time that
#: was seen, with `participant`, where it looks into the queue, the usual one.
JOINED_AFTER = 0.3
DEQUEUED_AFTER = 1.0
#: Samples in a frame of 20 ms.
FRAME = RATE // 50
_SEGMENT = re.compile(r"%\((\d+),(\d+),(\d+)(?:,(\d+))?\)")


class JoinedLegs(Telephone):
    """Hears LiveKit after `join()`. LiveKit hears silence."""

    def __init__(self) -> None:
        super().__init__()
        self._is_joined = False

    def join(self, heard_before: "array.array[int] | None" = None) -> None:
        """Hear LiveKit from now on, after what was `heard_before` over other legs."""
        if heard_before is not None:
            self.received = heard_before
        self._is_joined = True

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        kept = self.received
        if not self._is_joined:
            self.received = array.array("h")
        super().datagram_received(data, addr)
        self.received = kept

    def _tone(self, samples: int) -> bytes:
        return bytes([0xFF]) * samples


def ringing(dial_music: str, seconds: float) -> "array.array[int]":
    """What a caller hears for so long of `dialMusic`, a tone_stream; silence for ""."""
    one_round = array.array("h")
    for on, off, *hertz in _SEGMENT.findall(dial_music):
        tones = [int(each) for each in hertz if each]
        one_round.extend(
            sum(int(4000 * math.sin(2 * math.pi * tone * at / RATE)) for tone in tones)
            for at in range(int(on) * RATE // 1000)
        )
        one_round.extend([0] * (int(off) * RATE // 1000))
    size = int(seconds * RATE)
    rounds = size // len(one_round) + 1 if one_round else 0
    return (one_round * rounds or array.array("h", [0] * size))[:size]


def greeting() -> "array.array[int]":
    """The greeting of the diagnostic agent, at the rate of telephones."""
    path = files("agent.sounds").joinpath("greeting.wav")
    with path.open("rb") as file, wave.open(file) as recording:
        samples = array.array("h", recording.readframes(recording.getnframes()))
        return samples[:: recording.getframerate() // RATE]


def lost_beginning(heard: "array.array[int]", said: "array.array[int]") -> float:
    """How much of the beginning of `said` is missing in what was `heard`, in s.

    The two are aligned where their loudness is most alike.
    """
    reference, recording = _loudness(said), _loudness(heard)
    shift = max(
        range(-len(reference), len(recording)),
        key=lambda shift: sum(
            level * recording[at + shift]
            for at, level in enumerate(reference)
            if 0 <= at + shift < len(recording)
        ),
    )
    loud = [at for at, level in enumerate(reference) if level > max(reference) / 4]
    missing = 0
    for at in loud:
        level = recording[at + shift] if 0 <= at + shift < len(recording) else 0.0
        if level > reference[at] / 4:
            break
        missing += 1
    return missing * FRAME / RATE


def _loudness(samples: "array.array[int]") -> Sequence[float]:
    """The root mean square of each frame."""
    frames = (samples[start : start + FRAME] for start in range(0, len(samples), FRAME))
    return [math.sqrt(sum(sample * sample for sample in frame) / FRAME) for frame in frames]
