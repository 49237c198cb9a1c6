"""What happens to a call when it is due, as its room's participants show it. Pure."""

from collections.abc import Callable, Mapping

from gateway.calls.call import Call, Event, EventKind
from gateway.calls.outcomes import SipOutcome
from gateway.calls.reasons import DisconnectionReason
from gateway.config.settings import Config
from gateway.lifecycle.deadlines import Due
from gateway.livekit.rooms import SEEN_IN_ROOM, RoomParticipants
from gateway.monitor.availability import SETTLING_MS
from gateway.monitor.missed_events import NOT_IN_ROOM, answered_event

_OK = SipOutcome(200, "OK")


def due_event(
    call: Call, due: Due, participants: RoomParticipants, *, config: Config, now: int
) -> Event | None:
    """The event, None if nothing has happened yet; `now` in ms since epoch."""
    if due is Due.AGENT_ABSENT and call.caller_absence:
        due = Due.CALLER_ABSENT  # an agent that follows its caller may be reported first
    if due is Due.NO_AGENT:
        return _no_agent(participants, now, timeout=config.inbound.agent_timeout)
    return _EVENTS[due](call, participants, now)


def _no_agent(participants: RoomParticipants, now: int, *, timeout: float) -> Event:
    if participants.has_agent():
        return Event(EventKind.AGENT_JOINED, now, detail=SEEN_IN_ROOM)
    return Event(EventKind.NO_AGENT, now, detail=f"no agent joined within {timeout:g} s")


def _expired(call: Call, participants: RoomParticipants, now: int) -> Event:
    leg = participants.caller_leg(call)
    if leg and leg.is_answered:
        return answered_event(call, leg, now)
    detail = f"not answered within {(now - call.start_timestamp) / 1000:.0f} s"
    return Event(EventKind.EXPIRED, now, detail=detail)


def _caller_absent(call: Call, participants: RoomParticipants, now: int) -> Event:
    """The caller has left, and Jambonz has not said so: they may be back by another leg."""
    absence = call.caller_absence
    assert absence  # noqa: S101 - else it would not be due
    if leg := participants.caller_leg(call):
        return Event(
            EventKind.CALLER_RETURNED, now, detail=leg.identity, participant=leg.participant
        )
    return Event(EventKind.HUNG_UP, absence.at, reason=absence.reason, detail=absence.detail)


def _agent_absent(call: Call, participants: RoomParticipants, now: int) -> Event | None:
    """The agent left, and the caller did not: end the call, unless somebody talks to them."""
    absence = call.agent_absence
    assert absence  # noqa: S101 - else it would not be due
    if participants.has_agent(besides_job=absence.job_id):
        return Event(EventKind.AGENT_JOINED, now, detail="another agent is in the room")
    leg = participants.caller_leg(call)
    if leg and call.answer_timestamp and leg.joined_at > now - SETTLING_MS > call.answer_timestamp:
        return None  # they have just come back, as after a restart of LiveKit: so may an agent
    if company := participants.company(call):
        names = ", ".join(it.identity for it in company)
        return Event(EventKind.AGENT_HANDED_OVER, now, detail=names)
    reason = absence.reason or DisconnectionReason.AGENT_ERROR
    return Event(EventKind.HUNG_UP, now, reason=reason, detail=absence.detail)


def _warm_transfer(call: Call, participants: RoomParticipants, now: int) -> Event | None:
    """LiveKit sends no webhook when the target answers."""
    target = participants.find(call.transfer.identity) if call.transfer else None
    if target is None:
        return Event(EventKind.TRANSFER_ENDED, now, detail=NOT_IN_ROOM)
    if target.is_answered:
        return Event(EventKind.TRANSFER_ENDED, now, sip=_OK, detail="answered")
    return None


_EVENTS: Mapping[Due, Callable[[Call, RoomParticipants, int], Event | None]] = {
    Due.CALLER_ABSENT: _caller_absent,
    Due.AGENT_ABSENT: _agent_absent,
    Due.WARM_TRANSFER: _warm_transfer,
    Due.EXPIRED: _expired,
}
