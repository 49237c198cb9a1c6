"""A call as one line of JSON and back, for stores outside this process. Pure."""

import json
from dataclasses import asdict
from typing import Any

from gateway.calls.call import (
    AgentAbsence,
    Call,
    CallStatus,
    Direction,
    DisconnectionReason,
    EventKind,
    SipOutcome,
    TimelineEntry,
    Transfer,
)

_compact = json.JSONEncoder(separators=(",", ":"), default=dict).encode

#: What is left out where it has its default: most calls have few of them.
_DEFAULTS = {
    name: Call.__dataclass_fields__[name].default
    for name in (
        "caller_name",
        "account_code",
        "answer_timestamp",
        "end_timestamp",
        "disconnection_reason",
        "sip",
        "transfer",
        "report",
        "agent_came",
        "agent_absence",
        "report_settled",
        "callback_url",
        "callback_events",
    )
}


def dump(call: Call) -> str:
    content: dict[str, Any] = {
        "call_id": call.call_id,
        "direction": call.direction,
        "agent_name": call.agent_name,
        "start_timestamp": call.start_timestamp,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "ringing_timeout": call.ringing_timeout,
        "max_call_duration": call.max_call_duration,
        "call_status": call.call_status,
        "metadata": call.metadata,
        "jambonz": call.jambonz,
        "livekit": call.livekit,
        "timeline": [(entry.at, entry.event, entry.detail) for entry in call.timeline],
    }
    for name, default in _DEFAULTS.items():
        value = getattr(call, name)
        if value != default:
            content[name] = asdict(value) if hasattr(value, "__dataclass_fields__") else value
    return _compact(content)


def load(text: str) -> Call:
    content: dict[str, Any] = json.loads(text)
    content["direction"] = Direction(content["direction"])
    content["call_status"] = CallStatus(content["call_status"])
    content["timeline"] = tuple(
        TimelineEntry(at, EventKind(event), detail) for at, event, detail in content["timeline"]
    )
    if reason := content.get("disconnection_reason"):
        content["disconnection_reason"] = DisconnectionReason(reason)
    if sip := content.get("sip"):
        content["sip"] = SipOutcome(**sip)
    if transfer := content.get("transfer"):
        content["transfer"] = _transfer(transfer)
    if agent_absence := content.get("agent_absence"):
        content["agent_absence"] = _absence(agent_absence)
    if events := content.get("callback_events"):
        content["callback_events"] = tuple(events)
    return Call(**content)


def _transfer(content: dict[str, Any]) -> Transfer:
    sip = content.pop("sip")
    return Transfer(**content, sip=SipOutcome(**sip) if sip else None)


def _absence(content: dict[str, Any]) -> AgentAbsence:
    reason = content.pop("reason")
    return AgentAbsence(**content, reason=DisconnectionReason(reason) if reason else None)
