"""The room: joining it, waiting for the caller, for their audio, for their leaving."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext
from livekit.rtc.room import EventTypes

T = TypeVar("T")

#: How long joining a room and publishing in it may take, in s: some 0.3 together, usually.
JOIN_LIMIT = 10.0
PUBLISH_LIMIT = 5.0
#: What livekit-server answers to somebody who would join a room that is gone.
_NO_ROOM = "requested room does not exist"

CALLER_LEFT = "caller left"
ROOM_ENDED = "room ended"

_NOT_CALLERS = {
    rtc.ParticipantKind.PARTICIPANT_KIND_AGENT,
    rtc.ParticipantKind.PARTICIPANT_KIND_EGRESS,
}


class RoomEnded(Exception):
    """The room is gone before we were in it, or had said anything: the caller hung up at once."""


async def join(ctx: JobContext) -> None:
    """Be in the job's room. Raises RoomEnded; for anything else TimeoutError, rtc.ConnectError.

    A room that is closed meanwhile may also leave livekit-rtc 1.1 connecting until the time is up.
    """
    try:
        async with asyncio.timeout(JOIN_LIMIT):
            await ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
    except rtc.ConnectError as error:
        if _NO_ROOM in str(error):
            raise RoomEnded from error
        raise


async def publish(
    room: rtc.Room, track: rtc.LocalAudioTrack, options: rtc.TrackPublishOptions
) -> None:
    """Have our audio in the room. Raises RoomEnded, TimeoutError.

    A room that is closed meanwhile leaves livekit-rtc 1.1 waiting for an answer that never comes.
    """
    try:
        async with asyncio.timeout(PUBLISH_LIMIT):
            await room.local_participant.publish_track(track, options)
    except TimeoutError:
        if room.isconnected():
            raise
        raise RoomEnded from None


async def until(room: rtc.Room, events: Sequence[EventTypes], look: Callable[[], T | None]) -> T:
    """What `look` finds, now or after the first of `events` that lets it find something."""
    found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def check(*_: object) -> None:
        if not found.done() and (value := look()) is not None:
            found.set_result(value)

    for event in events:
        room.on(event, check)
    try:
        check()
        return await found
    finally:
        for event in events:
            room.off(event, check)


async def answered_caller(room: rtc.Room) -> rtc.RemoteParticipant:
    """The caller, once they can hear us: a SIP leg is in the room while it still rings."""
    return await until(
        room,
        ("participant_connected", "participant_attributes_changed"),
        lambda: next((who for who in _callers(room) if _is_answered(who)), None),
    )


async def audio_of(room: rtc.Room, caller: rtc.RemoteParticipant) -> rtc.Track:
    """The caller's audio, once we are subscribed to it."""

    def subscribed() -> rtc.Track | None:
        tracks = (publication.track for publication in caller.track_publications.values())
        return next((t for t in tracks if t and t.kind == rtc.TrackKind.KIND_AUDIO), None)

    return await until(room, ("track_subscribed",), subscribed)


async def departure(room: rtc.Room) -> str:
    """CALLER_LEFT once a caller came and went, ROOM_ENDED if that came first."""

    def ended() -> str | None:
        return None if room.isconnected() else ROOM_ENDED

    def came() -> str | None:
        return "came" if _callers(room) else ended()

    def went() -> str | None:
        return ended() or (None if _callers(room) else CALLER_LEFT)

    outcome = await until(room, ("participant_connected", "disconnected"), came)
    if outcome == ROOM_ENDED:
        return outcome
    return await until(room, ("participant_disconnected", "disconnected"), went)


def _callers(room: rtc.Room) -> list[rtc.RemoteParticipant]:
    return [who for who in room.remote_participants.values() if who.kind not in _NOT_CALLERS]


def _is_answered(who: rtc.RemoteParticipant) -> bool:
    return who.attributes.get("sip.callStatus", "active") == "active"
