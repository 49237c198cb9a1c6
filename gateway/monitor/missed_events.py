"""The events that a call has missed, as far as its room's participants show them. Pure."""

from collections.abc import Iterator

from gateway.calls.attribution import alone_reason
from gateway.calls.call import Call, CallStatus, Event, EventKind
from gateway.calls.participants import ParticipantKind
from gateway.calls.reasons import DisconnectionReason
from gateway.livekit.participants import joining, leaving
from gateway.livekit.rooms import SEEN_IN_ROOM, RoomParticipant, RoomParticipants

#: For so long after a call began or was answered, or its caller was to come back from a transfer,
#: LiveKit may not show its room or all of its participants yet, in ms.
SETTLING_MS = 10_000
#: The timeline detail of events that follow from who is not in a room.
NOT_IN_ROOM = "not in the room"


def missed_events(call: Call, participants: RoomParticipants, now: int) -> Iterator[Event]:
    """What happened to an active call without an event of its own; `now` in ms since epoch."""
    if participants.has_agent() and not call.agent_came:
        yield Event(EventKind.AGENT_JOINED, now, detail=SEEN_IN_ROOM)
    leg = participants.caller_leg(call)
    if call.call_status is not CallStatus.ONGOING:
        if leg and leg.is_answered:
            yield answered_event(call, leg, now)
        elif leg and (call.call_status is CallStatus.REGISTERED or call.caller is None):
            yield _joined(leg, now)
    elif now - _changed_at(call) > SETTLING_MS:
        if leg and call.caller is None:
            yield _joined(leg, now)
        yield from _missed_departures(call, participants, now)


def _changed_at(call: Call) -> int:
    """When an answered call's caller was last to join the room, in ms since epoch."""
    answered_at = call.answer_timestamp or call.start_timestamp
    transfer = call.transfer
    returns_at = transfer.ended_at if transfer and transfer.kind.leaves_agent else None
    return max(answered_at, returns_at or 0)


def _missed_departures(call: Call, participants: RoomParticipants, now: int) -> Iterator[Event]:
    """Who has left an answered call, and who has joined it besides its caller and its agent."""
    if participants.caller_leg(call) is None:
        reason = DisconnectionReason.USER_HANGUP
        yield Event(EventKind.CALLER_LEFT, now, reason=reason, detail=NOT_IN_ROOM, may_return=True)
        return
    yield from _missed_of_others(call, participants, now)
    is_handed_over = call.handed_over and participants.company(call)
    if not (participants.has_agent() or call.agent_absence or is_handed_over):
        reason = alone_reason(call) if call.handed_over else DisconnectionReason.AGENT_ERROR
        yield Event(EventKind.AGENT_LEFT, now, reason=reason, detail=NOT_IN_ROOM)


def _missed_of_others(call: Call, participants: RoomParticipants, now: int) -> Iterator[Event]:
    noted = [it for it in call.participants if not it.left_at and it.kind is not _AGENT]
    known = {it.identity for it in noted}
    leg = participants.caller_leg(call)
    for other in participants.everybody:
        if not (other is leg or other.kind is _AGENT or other.identity in known):
            yield _joined(other, now)
    for gone in noted:
        if participants.find(gone.identity) is None:
            detail = f"{gone.identity}: {NOT_IN_ROOM}"
            yield Event(leaving(gone.kind), now, detail=detail, participant=gone)


_AGENT = ParticipantKind.AGENT


def _joined(other: RoomParticipant, now: int) -> Event:
    return Event(joining(other.kind), now, detail=SEEN_IN_ROOM, participant=other.participant)


def answered_event(call: Call, leg: RoomParticipant, now: int) -> Event:
    """The missed answer of a call whose room has its answered `leg` (`now` in ms since epoch).

    Inbound legs are answered soon after they join. Dialed legs ring in the room first, so their
    time of joining counts as the answer only if the call was restored and no better is known.
    """
    joined_when_answered = call.is_from_jambonz or call.needs_recovery
    at = min(leg.joined_at or now, now) if joined_when_answered else now
    return Event(EventKind.ANSWERED, at, detail=SEEN_IN_ROOM, participant=leg.participant)
