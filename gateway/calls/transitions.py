"""What an event makes of a call: `advance()`. Pure: no I/O, no clock, no randomness."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.calls.call import (
    TEXT_LIMIT,
    TIMELINE_HEAD,
    TIMELINE_LIMIT,
    AgentAbsence,
    Call,
    CallStatus,
    DisconnectionReason,
    Event,
    EventKind,
    TimelineEntry,
)


def transition(call: Call, event: Event) -> Call:
    """The call after `event`. Total: any event is welcome in any status, in any order.

    An end is final: what comes later is noted in the timeline and changes nothing else, but the
    agent's report is kept whenever it comes.
    """
    timeline = _extend(call.timeline, event)
    report = event.report or call.report
    if not call.is_active:
        settled = call.report_settled or report is not None or event.kind is EventKind.REPORT_MISSED
        return replace(call, timeline=timeline, report=report, report_settled=settled)
    livekit = {**call.livekit, **event.ids} if event.ids else call.livekit
    noted = replace(call, timeline=timeline, livekit=livekit, report=report)
    if call.is_transferring and event.kind in _DEPARTURES:
        return noted
    effect = _TRANSITIONS.get(event.kind)
    return effect(noted, event) if effect else noted


def _extend(timeline: tuple[TimelineEntry, ...], event: Event) -> tuple[TimelineEntry, ...]:
    longer = (*timeline, TimelineEntry(event.at, event.kind, event.detail[:TEXT_LIMIT]))
    if len(longer) <= TIMELINE_LIMIT:
        return longer
    return longer[:TIMELINE_HEAD] + longer[TIMELINE_HEAD + 1 :]


def _ring(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.REGISTERED:
        return replace(call, call_status=CallStatus.RINGING)
    return call


def _answer(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return call
    answered_at = max(event.at, call.start_timestamp)
    return replace(call, call_status=CallStatus.ONGOING, answer_timestamp=answered_at)


def _end(call: Call, event: Event, status: CallStatus, reason: DisconnectionReason) -> Call:
    return replace(
        _close_transfer(call, event),
        call_status=status,
        disconnection_reason=event.reason or reason,
        # Clocks of two machines meet here: a call never ends before it began or was answered.
        end_timestamp=max(event.at, call.answer_timestamp or call.start_timestamp),
        sip=call.sip if event.kind is EventKind.TRANSFER_ENDED else event.sip or call.sip,
        report_settled=call.report is not None,
    )


def _ends_as(status: CallStatus, reason: DisconnectionReason) -> Callable[[Call, Event], Call]:
    return lambda call, event: _end(call, event, status, reason)


def _hang_up(call: Call, event: Event) -> Call:
    """The caller's leg is over: an end if there was a conversation, else no connection."""
    if event.answered_at is not None:
        call = _answer(call, replace(event, at=event.answered_at))
    if call.call_status is CallStatus.ONGOING:
        return _end(call, event, CallStatus.ENDED, DisconnectionReason.USER_HANGUP)
    return _end(call, event, CallStatus.NOT_CONNECTED, DisconnectionReason.USER_HANGUP)


def _leave(call: Call, event: Event) -> Call:
    """A caller who leaves the room while it still rings is Jambonz's to explain: it knows why."""
    return _hang_up(call, event) if call.call_status is CallStatus.ONGOING else call


def _agent_comes(call: Call, event: Event) -> Call:
    return replace(call, agent_came=True, agent_absence=None)


def _agent_reports(call: Call, event: Event) -> Call:
    """Its word that it is ready may be older than the news that it has gone."""
    return replace(call, agent_came=True)


def _agent_leaves(call: Call, event: Event) -> Call:
    """The first to say so counts: hang-ups of both sides cross on the way here."""
    job_id = (event.ids or {}).get("job_id", "")
    agent_absence = AgentAbsence(event.at, job_id, event.reason, event.detail[:TEXT_LIMIT])
    return replace(call, agent_absence=call.agent_absence or agent_absence)


def _overrun(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return _end(call, event, CallStatus.ENDED, DisconnectionReason.MAX_DURATION_REACHED)
    return call


def _start_transfer(call: Call, event: Event) -> Call:
    """Whoever is handed on has been answered, also where the news of that was lost."""
    if call.is_transferring or event.transfer is None:
        return call
    number = call.transfer.number + 1 if call.transfer else 1
    return replace(_answer(call, event), transfer=replace(event.transfer, number=number))


def _end_transfer(call: Call, event: Event) -> Call:
    """Where the caller has left the agent the call is over, else the two go on talking."""
    if not call.is_transferring:
        return call
    if event.reason:
        return _end(call, event, CallStatus.ENDED, event.reason)
    return _close_transfer(call, event)


def _close_transfer(call: Call, event: Event) -> Call:
    if not (call.transfer and call.is_transferring):
        return call
    outcome = event.sip if event.kind is EventKind.TRANSFER_ENDED else None
    return replace(call, transfer=replace(call.transfer, ended_at=event.at, sip=outcome))


def _give_up(call: Call, event: Event) -> Call:
    """Whether a call that was lost had been answered, nobody can tell any more."""
    if call.needs_recovery:
        return _end(call, event, CallStatus.ERROR, DisconnectionReason.GATEWAY_LOST)
    return _end(call, event, CallStatus.NOT_CONNECTED, DisconnectionReason.REGISTERED_CALL_TIMEOUT)


def _lack_agent(call: Call, event: Event) -> Call:
    if call.needs_recovery:
        return _give_up(call, event)
    return _end(call, event, CallStatus.ERROR, DisconnectionReason.NO_AGENT)


def _room_gone(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return _end(call, event, CallStatus.ENDED, DisconnectionReason.AGENT_HANGUP)
    return _give_up(call, event)


#: What a transfer brings about by itself: the caller leaves the agent, and the agent the room.
_DEPARTURES = frozenset({EventKind.CALLER_LEFT, EventKind.AGENT_FAILED, EventKind.ROOM_FINISHED})

_TRANSITIONS: Mapping[EventKind, Callable[[Call, Event], Call]] = {
    EventKind.LIVEKIT_FAILED: _ends_as(CallStatus.ERROR, DisconnectionReason.DIAL_FAILED),
    EventKind.REJECTED: _ends_as(
        CallStatus.NOT_CONNECTED, DisconnectionReason.CONCURRENCY_LIMIT_REACHED
    ),
    EventKind.NO_AGENT: _lack_agent,
    EventKind.DIALING: _ring,
    EventKind.RINGING: _ring,
    EventKind.CALLER_JOINED: _ring,
    EventKind.ANSWERED: _answer,
    EventKind.DIAL_FAILED: _ends_as(CallStatus.NOT_CONNECTED, DisconnectionReason.DIAL_FAILED),
    EventKind.CALLER_LEFT: _leave,
    EventKind.AGENT_JOINED: _agent_comes,
    EventKind.AGENT_READY: _agent_reports,
    EventKind.AGENT_LEFT: _agent_leaves,
    EventKind.AGENT_GONE: _agent_leaves,
    EventKind.AGENT_FAILED: _ends_as(CallStatus.ERROR, DisconnectionReason.AGENT_ERROR),
    EventKind.HUNG_UP: _hang_up,
    EventKind.STOPPED: _hang_up,
    EventKind.ROOM_FINISHED: _room_gone,
    EventKind.EXPIRED: _give_up,
    EventKind.MAX_DURATION_REACHED: _overrun,
    EventKind.TRANSFER_STARTED: _start_transfer,
    EventKind.TRANSFER_ENDED: _end_transfer,
}
