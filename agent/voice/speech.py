"""What must be heard: a sentence said to its end, and a recording, which needs no TTS."""

import asyncio
import logging
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from livekit import rtc
from livekit.agents.llm import ChatMessage
from livekit.agents.voice import SpeechHandle

from agent.voice.voice_call import VoiceCall

logger = logging.getLogger("agent.voice")

FRAME_MS = 20
#: How long speech may take to begin, in s: what is said before it is included.
BEGIN_LIMIT = 10.0
#: So many characters even a slow voice says in a second.
CHARACTERS_PER_SECOND = 8
#: How long a recording may be, in s.
LONGEST_CLIP = 60


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording in frames; `text` is what it says, for the transcript."""

    text: str
    frames: tuple[rtc.AudioFrame, ...]

    @property
    def duration(self) -> float:
        """In s."""
        return len(self.frames) * FRAME_MS / 1000


def read_clip(file: Path | Traversable, text: str = "[recording]") -> Clip:
    """A WAV file, mono, 16 bits. Raises ValueError with a readable text."""
    try:
        with file.open("rb") as data, wave.open(data) as recording:
            rate, count = recording.getframerate(), recording.getnframes()
            if (recording.getnchannels(), recording.getsampwidth()) != (1, 2):
                raise ValueError(f"{file.name} must be a WAV file with one channel of 16 bits")
            if not 0 < count <= LONGEST_CLIP * rate:
                raise ValueError(
                    f"{file.name} must last {LONGEST_CLIP} s at most, and not be empty"
                )
            samples = recording.readframes(count)
    except (OSError, EOFError, wave.Error) as error:
        raise ValueError(f"{file.name} cannot be read as a WAV file: {error}") from error
    size = rate * FRAME_MS // 1000 * 2
    padded = samples + bytes(-len(samples) % size)
    return Clip(
        text,
        tuple(
            rtc.AudioFrame(padded[start : start + size], rate, 1, size // 2)
            for start in range(0, len(padded), size)
        ),
    )


def own_clip(name: str, text: str) -> Clip:
    """A clip that is part of the package."""
    return read_clip(files("agent.sounds").joinpath(name), text)


async def say(voice: VoiceCall, text: str, *, allow_interruptions: bool = False) -> bool:
    """Say `text` after what is being said; returns whether it was heard to its end.

    Never raises. What takes longer than BEGIN_LIMIT and any voice is dropped.
    """
    limit = BEGIN_LIMIT + len(text) / CHARACTERS_PER_SECOND
    try:
        handle = voice.session.say(text, allow_interruptions=allow_interruptions)
    except RuntimeError:  # the session is closed
        return False
    return await _heard(handle, limit)


async def play(voice: VoiceCall, clip: Clip) -> bool:
    """Play `clip` in place of all that is being said; returns whether it was heard to its end.

    Never raises, and takes BEGIN_LIMIT and the clip's own time at most.
    """
    try:
        voice.session.interrupt(force=True)
        handle = voice.session.say(clip.text, audio=_frames(clip), allow_interruptions=False)
    except RuntimeError:  # the session is closed
        return False
    return await _heard(handle, BEGIN_LIMIT + clip.duration)


async def _frames(clip: Clip) -> AsyncIterator[rtc.AudioFrame]:
    for frame in clip.frames:
        yield frame


async def _heard(handle: SpeechHandle, limit: float) -> bool:
    try:
        async with asyncio.timeout(limit):
            await handle
    except TimeoutError:
        handle.interrupt(force=True)
        return False
    # Speech whose TTS failed leaves no message, or one that never began.
    messages = (item for item in handle.chat_items if isinstance(item, ChatMessage))
    began = any("started_speaking_at" in message.metrics for message in messages)
    return began and not handle.interrupted
