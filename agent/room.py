"""The room: joins it, and waits for the caller, for their audio, and until they leave."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext
from livekit.rtc.room import EventTypes

from agent.context import CallContext

T = TypeVar("T")

#: How long joining a room and publishing in it may take, in s: usually 0.3 together.
JOIN_TIMEOUT = 10.0
PUBLISH_TIMEOUT = 5.0
#: What livekit-server answers to a participant that joins a room that has ended.
_NO_ROOM = "requested room does not exist"

CALLER_LEFT = "caller left"
ROOM_ENDED = "room ended"

#: How long a caller whose connection broke may take to come back, in s: 4 after a restart of
#: livekit-server 1.13.5. The gateway deletes the room of one who does not.
RETURN_TIMEOUT = 10.0

_NO_PEOPLE = {
    rtc.ParticipantKind.PARTICIPANT_KIND_AGENT,
    rtc.ParticipantKind.PARTICIPANT_KIND_EGRESS,
    rtc.ParticipantKind.PARTICIPANT_KIND_INGRESS,
    rtc.ParticipantKind.PARTICIPANT_KIND_BRIDGE,
}
#: Why a participant leaves who does not come back.
_FOR_GOOD = {
    rtc.DisconnectReason.CLIENT_INITIATED,
    rtc.DisconnectReason.PARTICIPANT_REMOVED,
    rtc.DisconnectReason.ROOM_DELETED,
    rtc.DisconnectReason.ROOM_CLOSED,
    rtc.DisconnectReason.USER_REJECTED,
    rtc.DisconnectReason.USER_UNAVAILABLE,
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
) -> rtc.LocalTrackPublication:
    """Publish the agent's audio. Raises RoomEnded, TimeoutError.

    If the room is closed meanwhile, livekit-rtc 1.1 waits for an answer that never comes.
    """
    try:
        async with asyncio.timeout(PUBLISH_TIMEOUT):
            return await room.local_participant.publish_track(track, options)
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


async def answered_caller(room: rtc.Room, call: CallContext) -> rtc.RemoteParticipant:
    """The caller, once they can hear the agent: a SIP leg joins the room while it still rings."""

    def answered() -> rtc.RemoteParticipant | None:
        caller = caller_in(room, call)
        return caller if caller and _is_answered(caller) else None

    return await until(room, ("participant_connected", "participant_attributes_changed"), answered)


def inaudible_for(caller: rtc.RemoteParticipant, call: CallContext) -> float:
    """How long the caller does not hear the agent yet, in s: Jambonz still joins their two legs.

    A participant without a SIP leg hears the agent at once.
    """
    return call.audible_after if "sip.callID" in caller.attributes else 0.0


def caller_in(room: rtc.Room, call: CallContext) -> rtc.RemoteParticipant | None:
    """The call's caller, or the callee of an outbound call; others may be in the room, too.

    That is whom the gateway has dialed, else the telephone that came by a dispatch rule, else the
    first person in the room.
    """
    people = _people(room)
    if call.caller_identity:
        return next((it for it in people if it.identity == call.caller_identity), None)
    by_rule = (it for it in people if it.attributes.get("sip.ruleID"))
    return next(by_rule, people[0] if people else None)


def has_company(room: rtc.Room, call: CallContext) -> bool:
    """Whether the caller and another person are in the room."""
    return caller_in(room, call) is not None and len(_people(room)) > 1


def _people(room: rtc.Room) -> list[rtc.RemoteParticipant]:
    return [it for it in room.remote_participants.values() if it.kind not in _NO_PEOPLE]


async def next_leg(
    room: rtc.Room, call: CallContext, *, after: rtc.RemoteParticipant | None
) -> rtc.RemoteParticipant | None:
    """The caller's leg that comes `after` one, once it is answered; None if the room has ended."""

    def back() -> list[rtc.RemoteParticipant] | None:
        if not room.isconnected():
            return []
        caller = caller_in(room, call)
        is_back = caller and caller is not after and _is_answered(caller)
        return [caller] if caller and is_back else None

    events: Sequence[EventTypes] = (
        "participant_connected",
        "participant_attributes_changed",
        "disconnected",
    )
    return next(iter(await until(room, events, back)), None)


async def audio_of(room: rtc.Room, identity: str, *, besides: rtc.Track | None = None) -> rtc.Track:
    """A participant's audio track, once it is subscribed; not `besides`, which it has no more.

    livekit-agents 1.8 subscribes to tracks that it sees being published. After LiveKit was
    restarted a track may be there already when the agent is back: the caller would not be heard.
    """

    def subscribed() -> rtc.Track | None:
        participant = room.remote_participants.get(identity)
        for publication in participant.track_publications.values() if participant else ():
            if publication.kind != rtc.TrackKind.KIND_AUDIO or publication.track is besides:
                continue
            if publication.track:
                return publication.track
            publication.set_subscribed(True)
        return None

    return await until(
        room,
        ("track_subscribed", "track_published", "participant_connected", "reconnected"),
        subscribed,
    )


async def departure(room: rtc.Room, call: CallContext) -> str:
    """CALLER_LEFT once the caller has joined and left, ROOM_ENDED if the room ended before.

    Others may leave, and a caller whose connection broke may be back soon.
    """
    caller = await _present(room, lambda: caller_in(room, call))
    while caller:
        await _absent(room, caller)
        if not room.isconnected():
            break
        if caller.disconnect_reason in _FOR_GOOD:
            return CALLER_LEFT
        caller = await _returned(room, caller.identity)
        if caller is None and room.isconnected():
            return CALLER_LEFT
    return ROOM_ENDED


async def _present(
    room: rtc.Room, find: Callable[[], rtc.RemoteParticipant | None]
) -> rtc.RemoteParticipant | None:
    """Whom `find` returns, once it does; None if the room ends before."""

    def found() -> list[rtc.RemoteParticipant] | None:
        participant = find()
        if participant is None and room.isconnected():
            return None
        return [participant] if participant else []

    outcome = await until(room, ("participant_connected", "disconnected"), found)
    return next(iter(outcome), None)


async def _absent(room: rtc.Room, participant: rtc.RemoteParticipant) -> None:
    """Wait until the participant has left, or the room has ended."""

    def gone() -> bool | None:
        is_there = participant.identity in room.remote_participants and room.isconnected()
        return None if is_there else True

    await until(room, ("participant_disconnected", "disconnected"), gone)


async def _returned(room: rtc.Room, identity: str) -> rtc.RemoteParticipant | None:
    """The participant, if one of that identity joins within RETURN_TIMEOUT."""
    try:
        async with asyncio.timeout(RETURN_TIMEOUT):
            return await _present(room, lambda: room.remote_participants.get(identity))
    except TimeoutError:
        return None


def _is_answered(participant: rtc.RemoteParticipant) -> bool:
    return participant.attributes.get("sip.callStatus", "active") == "active"
