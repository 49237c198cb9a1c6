"""The diagnostic agent's voice: one writer to its audio source."""

import asyncio
from typing import Any, cast

import pytest
from livekit import rtc

from agent.diagnostic import CLIPS, MAX_PENDING_AUDIO, SAMPLE_RATE, Voice

FRAME = rtc.AudioFrame(bytes(640), SAMPLE_RATE, 1, 320)


class Source:
    """As livekit-rtc's AudioSource: of two writers at once it fails one."""

    def __init__(self) -> None:
        self.frames = 0
        self._is_capturing = False
        self.fails = False

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        if self._is_capturing or self.fails:
            raise RuntimeError("InvalidState - failed to capture frame")
        self._is_capturing = True
        await asyncio.sleep(0)
        self._is_capturing = False
        self.frames += 1

    async def wait_for_playout(self) -> None:
        await asyncio.sleep(0)


def voice_of(source: Source) -> Voice:
    return Voice(cast(Any, source))


@pytest.mark.field("J7")
async def test_keys_that_are_spoken_while_the_caller_talks() -> None:
    source = Source()
    async with asyncio.timeout(30), voice_of(source).speaking() as voice:
        for clip in CLIPS.values():
            for _ in range(MAX_PENDING_AUDIO):
                voice.say(FRAME)
            await asyncio.sleep(0)
            playing = [asyncio.create_task(voice.play(clip)) for _ in range(2)]
            while not all(task.done() for task in playing):
                voice.say(FRAME)
                await asyncio.sleep(0)
            await asyncio.gather(*playing)
    assert source.frames > 100


async def test_frames_are_dropped_while_a_clip_plays_or_too_many_wait() -> None:
    source = Source()
    async with asyncio.timeout(30), voice_of(source).speaking() as voice:
        for _ in range(3 * MAX_PENDING_AUDIO):
            voice.say(FRAME)
        playing = asyncio.create_task(voice.play(CLIPS["1"]))
        await asyncio.sleep(0)
        voice.say(FRAME)
        await playing
        alone = source.frames - MAX_PENDING_AUDIO
        await voice.play(CLIPS["1"])
    assert source.frames == MAX_PENDING_AUDIO + 2 * alone


async def test_a_source_that_fails_ends_the_conversation() -> None:
    source = Source()
    source.fails = True
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(30), voice_of(source).speaking() as voice:
            await voice.play(CLIPS["1"])
    assert caught.group_contains(RuntimeError, match="InvalidState")
