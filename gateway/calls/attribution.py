"""Whom LiveKit's events about SIP legs are about: the caller, a transfer's target, others. Pure."""

from dataclasses import replace

from gateway.calls.call import Call, Event, EventKind
from gateway.calls.outcomes import Transfer, TransferKind
from gateway.calls.participants import Leg, Participant, ParticipantKind, joined, left
from gateway.calls.reasons import DisconnectionReason

_JOINED = frozenset(
    {EventKind.PARTICIPANT_JOINED, EventKind.AGENT_JOINED, EventKind.TRANSFER_STARTED}
)
_LEFT = frozenset({EventKind.PARTICIPANT_LEFT, EventKind.AGENT_LEFT, EventKind.TRANSFER_ENDED})


def is_callers_leg(call: Call, leg: Participant) -> bool:
    """Whether the SIP participant `leg` is the call's own.

    Until that is known it is the first that LiveKit dialed or, where the caller dials, the first
    that came by a dispatch rule.
    """
    if call.caller:
        return leg.identity == call.caller.identity
    return bool(leg.rule_id) != call.has_dialed_leg


def attributed(call: Call, event: Event) -> Event:
    """The event of a SIP leg that is not the caller's, as what it is for `call`.

    A leg that was dialed into an answered call is the target of a warm transfer.
    """
    leg = event.participant
    if leg is None or leg.kind is not ParticipantKind.SIP or is_callers_leg(call, leg):
        return event
    current = call.open_transfer
    if event.kind is EventKind.CALLER_LEFT:
        if current and current.identity == leg.identity:
            failed = replace(current, reason=event.reason)
            return replace(event, kind=EventKind.TRANSFER_ENDED, reason=None, transfer=failed)
        return replace(event, kind=EventKind.PARTICIPANT_LEFT, reason=None)
    if event.kind is not EventKind.CALLER_JOINED:
        return event
    if leg.rule_id or current or not call.is_active or call.answer_timestamp is None:
        return replace(event, kind=EventKind.PARTICIPANT_JOINED)
    transfer = Transfer(
        leg.number or leg.identity, event.at, kind=TransferKind.WARM, identity=leg.identity
    )
    detail = f"warm, to {transfer.target}: {event.detail}"
    return replace(event, kind=EventKind.TRANSFER_STARTED, transfer=transfer, detail=detail)


def others_after(call: Call, event: Event) -> tuple[Participant, ...]:
    """The call's participants after `event`, which is `attributed()`."""
    if event.participant is None:
        return call.participants
    if event.kind in _JOINED:
        return joined(call.participants, event.participant)
    if event.kind in _LEFT:
        return left(call.participants, event.participant, event.at)
    return call.participants


def with_caller(call: Call, event: Event) -> Call:
    """`call` with the leg of `event` as the caller's."""
    leg = event.participant
    if leg is None:
        return call
    known = call.caller.sip_call_id if call.caller else ""
    caller = Leg(leg.identity, leg.sip_call_id or known)
    livekit = dict(call.livekit)
    if caller.sip_call_id:
        livekit["sip_call_id"] = caller.sip_call_id
    others = tuple(it for it in call.participants if it.identity != caller.identity)
    return replace(call, caller=caller, livekit=livekit, participants=others)


def has_company(call: Call) -> bool:
    """Whether somebody else whom the caller can talk to is in the room, as far as is known."""
    return any(it.kind.is_person and not it.left_at for it in call.participants)


def alone_reason(call: Call) -> DisconnectionReason:
    """Why a call ends whose caller is alone, since somebody they were handed over to has left."""
    transfer = call.transfer
    if transfer and transfer.kind is TransferKind.WARM and transfer.sip:
        return DisconnectionReason.CALL_TRANSFER
    return DisconnectionReason.AGENT_HANGUP
