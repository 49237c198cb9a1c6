"""A program that closes many audio sources, each with a minute of audio in its queue."""

import asyncio

from livekit import rtc

from common.audio_source import closing

SAMPLE_RATE, SECONDS, SOURCES = 48_000, 60, 100


async def main() -> None:
    samples = SAMPLE_RATE * SECONDS
    minute = rtc.AudioFrame(bytes(2 * samples), SAMPLE_RATE, 1, samples)
    for _ in range(SOURCES):
        source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=1000 * SECONDS)
        async with closing(source):
            await source.capture_frame(minute)


asyncio.run(main())
