"""How a call ends, and how the end that the gateway has inferred is corrected. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from gateway.calls.call import Call, CallStatus, Event, EventKind
from gateway.calls.reasons import DisconnectionReason, reason_of_status

#: The lowest SIP status of a leg that was not answered (RFC 3261 §21).
_LOWEST_FAILURE = 300

#: The events that say when and why the caller's leg has ended.
_TELLS_END = frozenset({EventKind.HUNG_UP, EventKind.CALLER_LEFT})


def end(call: Call, event: Event, status: CallStatus, reason: DisconnectionReason) -> Call:
    """`call` ended by `event`, whose own reason counts more than `reason`."""
    return replace(
        close_transfer(call, event),
        call_status=status,
        disconnection_reason=event.reason or reason,
        # Timestamps come from several machines: a call never ends before it began or was answered.
        end_timestamp=max(event.at, call.answer_timestamp or call.start_timestamp),
        sip=call.sip if event.kind is EventKind.TRANSFER_ENDED else event.sip or call.sip,
        report_settled=call.report is not None,
        end_presumed=event.is_presumed,
    )


def close_transfer(call: Call, event: Event) -> Call:
    """`call` with the outcome of its open transfer, if it has one."""
    current = call.open_transfer
    if not current:
        return call
    if event.kind is not EventKind.TRANSFER_ENDED:
        return replace(call, transfer=replace(current, ended_at=event.at))
    reason = event.transfer.reason if event.transfer else None
    if event.sip and event.sip.status >= _LOWEST_FAILURE:
        reason = reason_of_status(event.sip.status, has_rung=True)
    ended = replace(current, ended_at=event.at, sip=event.sip, reason=reason)
    return replace(call, transfer=ended)


def corrected(call: Call, event: Event) -> Call:
    """A call that has ended, once `event` says more about its end than was known."""
    if reason := _told_by_agent(call, event):
        status = CallStatus.ERROR if reason is DisconnectionReason.AGENT_ERROR else call.call_status
        return replace(call, call_status=status, disconnection_reason=reason, end_presumed=False)
    if not call.end_presumed or event.kind not in _TELLS_END:
        return call
    return replace(
        call,
        disconnection_reason=event.reason or DisconnectionReason.USER_HANGUP,
        end_timestamp=max(event.at, call.end_timestamp or 0),
        sip=event.sip or call.sip,
        end_presumed=False,
    )


def report_after(call: Call, event: Event) -> Mapping[str, object] | None:
    """The call's report once `event` has brought one.

    LiveKit may give another agent a job while the room goes: what that one reports has no
    conversation, and does not replace one that has.
    """
    if call.report and event.report and not event.report.get("transcript"):
        return call.report
    return event.report or call.report


def _told_by_agent(call: Call, event: Event) -> DisconnectionReason | None:
    """Why the agent closed the room, which LiveKit or Jambonz has reported before the agent did."""
    is_inferred = call.disconnection_reason is DisconnectionReason.AGENT_HANGUP
    if not is_inferred or call.has_seen(EventKind.AGENT_ENDED):
        return None
    if event.kind is EventKind.AGENT_FAILED:
        return event.reason or DisconnectionReason.AGENT_ERROR
    return event.reason if event.kind is EventKind.AGENT_ENDED else None
