"""Closes an audio source of livekit-rtc, so that its process goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from livekit.rtc import AudioSource


@asynccontextmanager
async def closing(source: "AudioSource") -> AsyncIterator[None]:
    """Close `source` at the end of the context, with nothing left in its queue.

    livekit-rtc 1.1.21 frees the queue before it stops the thread that takes audio from it. If that
    thread is just moving what is left, it never ends, and the thread that frees the source waits
    for it for ever (livekit/rust-sdks, webrtc-sys/src/audio_track.cpp).
    """
    try:
        yield
    finally:
        source.clear_queue()
        await source.aclose()
