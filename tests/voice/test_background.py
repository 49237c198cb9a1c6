"""Sounds of a place are behind the conversation, on a track that telephones hear mixed with it."""

import asyncio

from livekit import rtc

from tests.voice.conftest import ASKS_DAY, GREETING, OFFICE, Dial


async def test_the_agent_sits_in_an_office(dial: Dial) -> None:
    async with dial(OFFICE) as telephone:
        await telephone.hears_out(GREETING)
        async with asyncio.timeout(10):
            await _sounds(_background(telephone.caller._room))
        await telephone.says("book")
        await telephone.hears(ASKS_DAY)


def _background(room: rtc.Room) -> rtc.Track:
    (track,) = (
        publication.track
        for participant in room.remote_participants.values()
        for publication in participant.track_publications.values()
        if publication.name == "background_audio" and publication.track
    )
    return track


async def _sounds(track: rtc.Track) -> None:
    """Returns once something is heard."""
    stream = rtc.AudioStream(track, sample_rate=48_000, num_channels=1)
    try:
        async for event in stream:
            if any(event.frame.data):
                return
    finally:
        await stream.aclose()
