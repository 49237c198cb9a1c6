"""Calls as JSON, for ops and for callbacks. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway.calls.call import Call, SipOutcome, Transfer


def summary(call: Call) -> dict[str, Any]:
    """A call as the list shows it."""
    return {
        "call_id": call.call_id,
        "direction": call.direction,
        "call_status": call.call_status,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "agent_name": call.agent_name,
        "account_code": call.account_code,
        "metadata": call.metadata,
        "start_timestamp": call.start_timestamp,
        "answer_timestamp": call.answer_timestamp,
        "end_timestamp": call.end_timestamp,
        "duration_ms": call.duration_ms,
        "disconnection_reason": call.disconnection_reason,
        "sip": _sip(call.sip),
        "transfer": _transfer(call.transfer),
    }


def _sip(outcome: SipOutcome | None) -> dict[str, Any] | None:
    return {"status": outcome.status, "reason": outcome.reason} if outcome else None


def _transfer(transfer: Transfer | None) -> dict[str, Any] | None:
    if transfer is None:
        return None
    return {
        "target": transfer.target,
        "started_at": transfer.started_at,
        "ended_at": transfer.ended_at,
        "sip": _sip(transfer.sip),
    }


def reported(call: Call) -> dict[str, Any]:
    """A call with its agent's report, null where none came."""
    return {**summary(call), "report": call.report}


def whole(call: Call) -> Mapping[str, Any]:
    """A call with all that is known of it."""
    return {
        **reported(call),
        "caller_name": call.caller_name,
        "jambonz": call.jambonz,
        "livekit": call.livekit,
        "timeline": [
            {"at": entry.at, "event": entry.event, "detail": entry.detail}
            for entry in call.timeline
        ],
    }
