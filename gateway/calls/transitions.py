"""The state machine of calls: `transition()` applies one event. Pure: no I/O, no clock."""

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
    """The call after `event`. Total: every event is valid in every status, in any order.

    A terminal status is final: later events are added to the timeline and change nothing else,
    except that the agent's report is stored whenever it arrives.
    """
    timeline = _extend(call.timeline, event)
    report = event.report or call.report
    if not call.is_active:
        settled = call.report_settled or report is not None or event.kind is EventKind.REPORT_MISSED
        return replace(call, timeline=timeline, report=report, report_settled=settled)
    livekit = {**call.livekit, **event.ids} if event.ids else call.livekit
    recorded = replace(call, timeline=timeline, livekit=livekit, report=report)
    if call.is_transferring and event.kind in _CAUSED_BY_TRANSFER:
        return recorded
    effect = _TRANSITIONS.get(event.kind)
    return effect(recorded, event) if effect else recorded


def _extend(timeline: tuple[TimelineEntry, ...], event: Event) -> tuple[TimelineEntry, ...]:
    longer = (*timeline, TimelineEntry(event.at, event.kind, event.detail[:TEXT_LIMIT]))
    if len(longer) <= TIMELINE_LIMIT:
        return longer
    return longer[:TIMELINE_HEAD] + longer[TIMELINE_HEAD + 1 :]


def _end(call: Call, event: Event, status: CallStatus, reason: DisconnectionReason) -> Call:
    return replace(
        _close_transfer(call, event),
        call_status=status,
        disconnection_reason=event.reason or reason,
        # Timestamps come from several machines: a call never ends before it began or was answered.
        end_timestamp=max(event.at, call.answer_timestamp or call.start_timestamp),
        sip=call.sip if event.kind is EventKind.TRANSFER_ENDED else event.sip or call.sip,
        report_settled=call.report is not None,
    )


def _ends_as(status: CallStatus, reason: DisconnectionReason) -> Callable[[Call, Event], Call]:
    return lambda call, event: _end(call, event, status, reason)


def _on_ringing(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.REGISTERED:
        return replace(call, call_status=CallStatus.RINGING)
    return call


def _on_answered(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return call
    answered_at = max(event.at, call.start_timestamp)
    return replace(call, call_status=CallStatus.ONGOING, answer_timestamp=answered_at)


def _on_hung_up(call: Call, event: Event) -> Call:
    """The caller's leg has ended: `ended` if the call was answered, else `not_connected`."""
    if event.answered_at is not None:
        call = _on_answered(call, replace(event, at=event.answered_at))
    if call.call_status is CallStatus.ONGOING:
        return _end(call, event, CallStatus.ENDED, DisconnectionReason.USER_HANGUP)
    return _end(call, event, CallStatus.NOT_CONNECTED, DisconnectionReason.USER_HANGUP)


def _on_caller_left(call: Call, event: Event) -> Call:
    """Before the answer this ends nothing: Jambonz reports the end of that leg, and its cause."""
    return _on_hung_up(call, event) if call.call_status is CallStatus.ONGOING else call


def _on_agent_joined(call: Call, event: Event) -> Call:
    return replace(call, agent_came=True, agent_absence=None)


def _on_agent_ready(call: Call, event: Event) -> Call:
    """A recorded absence stays: this report may have been sent before the agent left."""
    return replace(call, agent_came=True)


def _on_agent_left(call: Call, event: Event) -> Call:
    """The first event with the cause counts: both sides may hang up at the same time."""
    job_id = (event.ids or {}).get("job_id", "")
    absence = AgentAbsence(event.at, job_id, event.reason, event.detail[:TEXT_LIMIT])
    return replace(call, agent_absence=call.agent_absence or absence)


def _on_max_duration(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return _end(call, event, CallStatus.ENDED, DisconnectionReason.MAX_DURATION_REACHED)
    return call


def _on_expired(call: Call, event: Event) -> Call:
    """Of a call that needs recovery it is not known whether it had been answered."""
    if call.needs_recovery:
        return _end(call, event, CallStatus.ERROR, DisconnectionReason.GATEWAY_LOST)
    return _end(call, event, CallStatus.NOT_CONNECTED, DisconnectionReason.REGISTERED_CALL_TIMEOUT)


def _on_no_agent(call: Call, event: Event) -> Call:
    if call.needs_recovery:
        return _on_expired(call, event)
    return _end(call, event, CallStatus.ERROR, DisconnectionReason.NO_AGENT)


def _on_room_finished(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return _end(call, event, CallStatus.ENDED, DisconnectionReason.AGENT_HANGUP)
    return _on_expired(call, event)


def _on_transfer_started(call: Call, event: Event) -> Call:
    """A caller who is transferred has been answered, also if that event was lost."""
    if call.is_transferring or event.transfer is None:
        return call
    number = call.transfer.number + 1 if call.transfer else 1
    return replace(_on_answered(call, event), transfer=replace(event.transfer, number=number))


def _on_transfer_ended(call: Call, event: Event) -> Call:
    """With a reason the caller has left the agent, and the call ends; else the two talk on."""
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


#: What a transfer itself causes: the caller and then the agent leave the room, which is closed.
_CAUSED_BY_TRANSFER = frozenset(
    {EventKind.CALLER_LEFT, EventKind.AGENT_FAILED, EventKind.ROOM_FINISHED}
)

#: Kinds that are not listed are only added to the timeline.
_TRANSITIONS: Mapping[EventKind, Callable[[Call, Event], Call]] = {
    EventKind.LIVEKIT_FAILED: _ends_as(CallStatus.ERROR, DisconnectionReason.DIAL_FAILED),
    EventKind.REJECTED: _ends_as(
        CallStatus.NOT_CONNECTED, DisconnectionReason.CONCURRENCY_LIMIT_REACHED
    ),
    EventKind.NO_AGENT: _on_no_agent,
    EventKind.DIALING: _on_ringing,
    EventKind.RINGING: _on_ringing,
    EventKind.CALLER_JOINED: _on_ringing,
    EventKind.ANSWERED: _on_answered,
    EventKind.DIAL_FAILED: _ends_as(CallStatus.NOT_CONNECTED, DisconnectionReason.DIAL_FAILED),
    EventKind.CALLER_LEFT: _on_caller_left,
    EventKind.AGENT_JOINED: _on_agent_joined,
    EventKind.AGENT_READY: _on_agent_ready,
    EventKind.AGENT_LEFT: _on_agent_left,
    EventKind.AGENT_GONE: _on_agent_left,
    EventKind.AGENT_FAILED: _ends_as(CallStatus.ERROR, DisconnectionReason.AGENT_ERROR),
    EventKind.HUNG_UP: _on_hung_up,
    EventKind.STOPPED: _on_hung_up,
    EventKind.ROOM_FINISHED: _on_room_finished,
    EventKind.EXPIRED: _on_expired,
    EventKind.MAX_DURATION_REACHED: _on_max_duration,
    EventKind.TRANSFER_STARTED: _on_transfer_started,
    EventKind.TRANSFER_ENDED: _on_transfer_ended,
}
