"""Calls as JSON, for ops and for callbacks. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway.calls import Call


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
        "sip": {"status": call.sip.status, "reason": call.sip.reason} if call.sip else None,
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
