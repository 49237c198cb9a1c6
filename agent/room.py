"""The room: joins it, and waits for the caller, for their audio, and until they leave."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext
from livekit.rtc.room import EventTypes

T = TypeVar("T")

#: How long joining a room and publishing in it may take, in s: usually 0.3 together.
JOIN_TIMEOUT = 10.0
PUBLISH_TIMEOUT = 5.0
#: What livekit-server answers to a participant that joins a room that has ended.
_NO_ROOM = "requested room does not exist"

CALLER_LEFT = "caller left"
ROOM_ENDED = "room ended"

_NOT_CALLERS = {
    rtc.ParticipantKind.PARTICIPANT_KIND_AGENT,
    rtc.ParticipantKind.PARTICIPANT_KIND_EGRESS,
}


class RoomEnded(Exception):
    """The room ended before the agent was in it or could speak: the caller hung up at once."""


async def join(ctx: JobContext) -> None:
    """Join the job's room. Raises RoomEnded, TimeoutError, rtc.ConnectError.

    If the room is closed meanwhile, livekit-rtc 1.1 may go on connecting until the timeout.
    """
    try:
        async with asyncio.timeout(JOIN_TIMEOUT):
            await ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
    except rtc.ConnectError as error:
        if _NO_ROOM in str(error):
            raise RoomEnded from error
        raise


async def publish(
    room: rtc.Room, track: rtc.LocalAudioTrack, options: rtc.TrackPublishOptions
) -> None:
    """Publish the agent's audio. Raises RoomEnded, TimeoutError.

    If the room is closed meanwhile, livekit-rtc 1.1 waits for an answer that never comes.
    """
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT):
            await room.local_participant.publish_track(track, options)
    except TimeoutError:
        if room.isconnected():
            raise
        raise RoomEnded from None


async def until(room: rtc.Room, events: Sequence[EventTypes], find: Callable[[], T | None]) -> T:
    """What `find` returns, now or after one of `events`, once it is not None."""
    found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def check(*_: object) -> None:
        if not found.done() and (value := find()) is not None:
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
    """The caller, once they can hear the agent: a SIP leg joins the room while it still rings."""
    return await until(
        room,
        ("participant_connected", "participant_attributes_changed"),
        lambda: next((caller for caller in _callers(room) if _is_answered(caller)), None),
    )


async def audio_of(room: rtc.Room, caller: rtc.RemoteParticipant) -> rtc.Track:
    """The caller's audio track, once it is subscribed."""

    def subscribed() -> rtc.Track | None:
        tracks = (publication.track for publication in caller.track_publications.values())
        return next((t for t in tracks if t and t.kind == rtc.TrackKind.KIND_AUDIO), None)

    return await until(room, ("track_subscribed",), subscribed)


async def departure(room: rtc.Room) -> str:
    """CALLER_LEFT once a caller has joined and left, ROOM_ENDED if the room ended before."""

    def ended() -> str | None:
        return None if room.isconnected() else ROOM_ENDED

    def joined() -> str | None:
        return "joined" if _callers(room) else ended()

    def left() -> str | None:
        return ended() or (None if _callers(room) else CALLER_LEFT)

    outcome = await until(room, ("participant_connected", "disconnected"), joined)
    if outcome == ROOM_ENDED:
        return outcome
    return await until(room, ("participant_disconnected", "disconnected"), left)


def _callers(room: rtc.Room) -> list[rtc.RemoteParticipant]:
    participants = room.remote_participants.values()
    return [each for each in participants if each.kind not in _NOT_CALLERS]


def _is_answered(participant: rtc.RemoteParticipant) -> bool:
    return participant.attributes.get("sip.callStatus", "active") == "active"
