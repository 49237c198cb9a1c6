"""The state machine of calls: `transition()` applies one event. Pure: no I/O, no clock."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.calls.absences import AgentAbsence, CallerAbsence
from gateway.calls.attribution import (
    alone_reason,
    attributed,
    has_company,
    others_after,
    with_caller,
)
from gateway.calls.call import (
    TEXT_LIMIT,
    TIMELINE_HEAD,
    TIMELINE_LIMIT,
    Call,
    CallStatus,
    Event,
    EventKind,
    TimelineEntry,
)
from gateway.calls.endings import close_transfer, corrected, end, report_after
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.silences import merged
from gateway.calls.transfer_requests import on_declined, on_refused, on_requested


def transition(call: Call, event: Event) -> Call:
    """The call after `event`. Total: every event is valid in every status, in any order.

    A terminal status is final: later events are added to the timeline and change nothing else,
    except that the agent's reports are stored whenever they arrive, who leaves the room is noted,
    and an end that was only inferred is corrected. A dial is refused then, and not in the timeline.
    """
    if event.kind is EventKind.DIALING and not call.is_active:
        return call
    event = attributed(call, event)
    report = report_after(call, event)
    recorded = replace(
        call if call.is_active else corrected(call, event),
        timeline=_extend(call.timeline, event),
        report=report,
        participants=others_after(call, event),
    )
    if event.silence:
        recorded = replace(recorded, agent_silences=merged([*call.agent_silences, event.silence]))
    if not call.is_active:
        settled = call.report_settled or report is not None or event.kind is EventKind.REPORT_MISSED
        return replace(recorded, report_settled=settled)
    if event.ids:
        recorded = replace(recorded, livekit={**call.livekit, **event.ids})
    if call.is_transferring and event.kind in _CAUSED_BY_TRANSFER:
        return recorded
    if call.caller_absence and event.kind in _CAUSED_BY_CALLER and not call.needs_recovery:
        return _on_caller_gone(recorded, call.caller_absence)
    effect = _TRANSITIONS.get(event.kind)
    return effect(recorded, event) if effect else recorded


def _extend(timeline: tuple[TimelineEntry, ...], event: Event) -> tuple[TimelineEntry, ...]:
    longer = (*timeline, TimelineEntry(event.at, event.kind, event.detail[:TEXT_LIMIT]))
    if len(longer) <= TIMELINE_LIMIT:
        return longer
    return longer[:TIMELINE_HEAD] + longer[TIMELINE_HEAD + 1 :]


def _ends_as(status: CallStatus, reason: DisconnectionReason) -> Callable[[Call, Event], Call]:
    return lambda call, event: end(call, event, status, reason)


def _on_ringing(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.REGISTERED:
        return replace(call, call_status=CallStatus.RINGING)
    return call


def _on_answered(call: Call, event: Event) -> Call:
    call = with_caller(call, event)
    if call.call_status is CallStatus.ONGOING:
        return call
    answered_at = max(event.at, call.start_timestamp)
    return replace(call, call_status=CallStatus.ONGOING, answer_timestamp=answered_at)


def _on_hung_up(call: Call, event: Event) -> Call:
    """The caller's leg has ended: `ended` if the call was answered, else `not_connected`."""
    if event.answered_at is not None:
        call = _on_answered(call, replace(event, at=event.answered_at))
    if event.reason in _ERRORS:
        return end(call, event, CallStatus.ERROR, event.reason)
    if call.call_status is CallStatus.ONGOING:
        return end(call, event, CallStatus.ENDED, DisconnectionReason.USER_HANGUP)
    return end(call, event, CallStatus.NOT_CONNECTED, DisconnectionReason.USER_HANGUP)


def _on_caller_joined(call: Call, event: Event) -> Call:
    """A leg that left for certain has not come back: its two events arrived in the wrong order."""
    absence, leg, caller = call.caller_absence, event.participant, call.caller
    is_same_leg = leg and caller and leg.sip_call_id == caller.sip_call_id
    has_left = absence and not absence.may_return and is_same_leg
    joined = replace(with_caller(call, event), caller_absence=absence if has_left else None)
    return _on_ringing(joined, event)


def _on_caller_returned(call: Call, event: Event) -> Call:
    return replace(with_caller(call, event), caller_absence=None)


def _on_caller_left(call: Call, event: Event) -> Call:
    """An answered call ends, unless the caller may be back already: then LiveKit's list decides.

    The leg that a caller had before they came back may be reported late.

    Before the answer Jambonz or the dial reports the end of that leg, and its cause; if neither
    does, the caller's departure is the cause.
    """
    if _is_earlier_leg(call, event):
        return call
    call = with_caller(call, event)
    if call.call_status is CallStatus.ONGOING and not event.may_return:
        return _on_hung_up(call, event)
    reason = event.reason or DisconnectionReason.USER_HANGUP
    absence = CallerAbsence(event.at, reason, event.detail[:TEXT_LIMIT], event.may_return)
    return replace(call, caller_absence=call.caller_absence or absence)


def _is_earlier_leg(call: Call, event: Event) -> bool:
    """Whether `event` is about a leg of the caller's that another one has replaced."""
    known = call.caller.sip_call_id if call.caller else ""
    left = event.participant.sip_call_id if event.participant else ""
    return bool(known and left and known != left)


def _on_caller_gone(call: Call, absence: CallerAbsence) -> Call:
    """End the call by the caller's departure, which was noted before its consequence."""
    hung_up = Event(EventKind.HUNG_UP, absence.at, reason=absence.reason, detail=absence.detail)
    return _on_hung_up(call, hung_up)


def _on_agent_joined(call: Call, event: Event) -> Call:
    return replace(call, agent_came=True, agent_absence=None, handed_over=False)


def _on_agent_audible(call: Call, event: Event) -> Call:
    """A recorded absence stays: this may have been sent before the agent left."""
    return replace(call, agent_came=True, agent_audible=call.agent_absence is None)


def _on_agent_left(call: Call, event: Event) -> Call:
    """The first event with the cause counts: both sides may hang up at the same time."""
    job_id = (event.ids or {}).get("job_id", "")
    absence = AgentAbsence(event.at, job_id, event.reason, event.detail[:TEXT_LIMIT])
    return replace(call, agent_audible=False, agent_absence=call.agent_absence or absence)


def _on_agent_failed(call: Call, event: Event) -> Call:
    reason = event.reason or DisconnectionReason.AGENT_ERROR
    return _on_agent_ended(call, replace(event, reason=reason))


def _on_agent_ended(call: Call, event: Event) -> Call:
    """The agent ends the call, if it says why; without a reason who leaves the room decides.

    Somebody else whom the caller talks to is not cut off: see `_on_handed_over()`.
    """
    if event.reason is None:
        return call
    if call.call_status is CallStatus.ONGOING and has_company(call):
        return _on_agent_left(call, event)
    if event.reason in _AFTER_AN_ANSWER:
        call = _on_answered(call, event)
    return _on_hung_up(call, event)


def _on_handed_over(call: Call, event: Event) -> Call:
    return replace(call, agent_absence=None, handed_over=True)


def _on_participant_left(call: Call, event: Event) -> Call:
    """The caller whom the agent left with somebody else may be alone now."""
    if not call.handed_over or has_company(call):
        return call
    return _on_agent_left(call, replace(event, reason=alone_reason(call)))


def _on_max_duration(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return end(call, event, CallStatus.ENDED, DisconnectionReason.MAX_DURATION_REACHED)
    return call


def _on_expired(call: Call, event: Event) -> Call:
    """Of a call that needs recovery it is not known whether it had been answered."""
    if call.needs_recovery:
        return end(call, event, CallStatus.ERROR, DisconnectionReason.GATEWAY_LOST)
    return end(call, event, CallStatus.NOT_CONNECTED, DisconnectionReason.REGISTERED_CALL_TIMEOUT)


def _on_no_agent(call: Call, event: Event) -> Call:
    if call.needs_recovery:
        return _on_expired(call, event)
    return end(call, event, CallStatus.ERROR, DisconnectionReason.NO_AGENT)


def _on_room_finished(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return end(call, event, CallStatus.ENDED, DisconnectionReason.AGENT_HANGUP)
    return _on_expired(call, event)


def _on_transfer_started(call: Call, event: Event) -> Call:
    """A caller who leaves for a target has been answered, also if that event was lost."""
    if call.is_transferring or event.transfer is None:
        return call
    kind, request = event.transfer.kind, call.transfer_request
    if kind.leaves_agent:
        call = _on_answered(call, event)
    if kind.leaves_agent or (request and request.kind is kind):
        call = replace(call, transfer_request=None)
    number = call.transfer.number + 1 if call.transfer else 1
    return replace(call, transfer=replace(event.transfer, number=number))


def _on_transfer_ended(call: Call, event: Event) -> Call:
    """With a reason the caller has left the agent, and the call ends; else the two talk on."""
    if not call.open_transfer:
        return call
    if event.reason:
        return end(call, event, CallStatus.ENDED, event.reason)
    return _on_participant_left(close_transfer(call, event), event)


#: What a transfer itself causes: the caller and then the agent leave the room, which is closed.
_CAUSED_BY_TRANSFER = frozenset(
    {
        EventKind.CALLER_LEFT,
        EventKind.AGENT_ENDED,
        EventKind.AGENT_FAILED,
        EventKind.ROOM_FINISHED,
    }
)

#: A leg that ends for these has not been hung up by anybody.
_ERRORS = frozenset({DisconnectionReason.CONNECTION_LOST, DisconnectionReason.AGENT_ERROR})

#: What ends conversations only: the report of the answer may be late or lost.
_AFTER_AN_ANSWER = frozenset(
    {
        DisconnectionReason.INACTIVITY,
        DisconnectionReason.VOICEMAIL_REACHED,
        DisconnectionReason.MAX_DURATION_REACHED,
    }
)

#: What the caller's departure causes.
_CAUSED_BY_CALLER = frozenset(
    {EventKind.AGENT_FAILED, EventKind.NO_AGENT, EventKind.ROOM_FINISHED, EventKind.EXPIRED}
)

#: Kinds that are not listed are only added to the timeline.
_TRANSITIONS: Mapping[EventKind, Callable[[Call, Event], Call]] = {
    EventKind.LIVEKIT_FAILED: _ends_as(CallStatus.ERROR, DisconnectionReason.DIAL_FAILED),
    EventKind.REJECTED: _ends_as(
        CallStatus.NOT_CONNECTED, DisconnectionReason.CONCURRENCY_LIMIT_REACHED
    ),
    EventKind.NO_AGENT: _on_no_agent,
    EventKind.ENQUEUED: with_caller,
    EventKind.DIALING: _on_ringing,
    EventKind.RINGING: _on_ringing,
    EventKind.CALLER_JOINED: _on_caller_joined,
    EventKind.CALLER_RETURNED: _on_caller_returned,
    EventKind.ANSWERED: _on_answered,
    EventKind.DIAL_FAILED: _ends_as(CallStatus.NOT_CONNECTED, DisconnectionReason.DIAL_FAILED),
    EventKind.CALLER_LEFT: _on_caller_left,
    EventKind.PARTICIPANT_LEFT: _on_participant_left,
    EventKind.AGENT_JOINED: _on_agent_joined,
    EventKind.AGENT_AUDIBLE: _on_agent_audible,
    EventKind.AGENT_READY: _on_agent_audible,
    EventKind.AGENT_LEFT: _on_agent_left,
    EventKind.AGENT_GONE: _on_agent_left,
    EventKind.AGENT_ENDED: _on_agent_ended,
    EventKind.AGENT_FAILED: _on_agent_failed,
    EventKind.AGENT_HANDED_OVER: _on_handed_over,
    EventKind.HUNG_UP: _on_hung_up,
    EventKind.STOPPED: _on_hung_up,
    EventKind.ROOM_FINISHED: _on_room_finished,
    EventKind.EXPIRED: _on_expired,
    EventKind.MAX_DURATION_REACHED: _on_max_duration,
    EventKind.TRANSFER_REQUESTED: on_requested,
    EventKind.TRANSFER_REFUSED: on_refused,
    EventKind.TRANSFER_STARTED: _on_transfer_started,
    EventKind.TRANSFER_DECLINED: on_declined,
    EventKind.TRANSFER_ENDED: _on_transfer_ended,
}
