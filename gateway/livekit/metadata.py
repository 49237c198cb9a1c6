"""What LiveKit keeps of a call: JSON for the agent's job and, with more in it, for the room. Pure.

The agent reads its part in `agent/context.py`; neither imports the other, a test keeps them in
step. The room's part is for ourselves: a gateway that has lost a call makes it out anew by it.
"""

import json
from collections.abc import Mapping
from typing import Any

from gateway.calls.call import Call, Direction, EventKind, TimelineEntry

#: The one key that is ours alone; everything else is flat, as the n8n guide has it.
GATEWAY_KEY = "gateway"
#: Under `GATEWAY_KEY`, in a room's metadata only: what else there is to know of the call.
CALL_KEY = "call"

#: What others' metadata may bring about: no JSON, other JSON, JSON too deep to be read.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

_compact = json.JSONEncoder(separators=(",", ":")).encode


def job_metadata(call: Call, *, own_url: str, extras: Mapping[str, object] | None = None) -> str:
    """JSON text for the agent's job; `extras` go beside what is ours."""
    return _compact(
        {**call.metadata, GATEWAY_KEY: {**_public_fields(call, own_url), **(extras or {})}}
    )


def room_metadata(call: Call, *, own_url: str, enqueues: bool = False) -> str:
    """JSON text for the room: the agent's, and what `rebuilt()` needs besides.

    `parks` where the caller is to wait in a Jambonz queue for LiveKit's leg.
    """
    kept = {
        "agent_name": call.agent_name,
        "start_timestamp": call.start_timestamp,
        "caller_name": call.caller_name,
        "account_code": call.account_code,
        "ringing_timeout": call.ringing_timeout,
        "jambonz": call.jambonz,
        "callback_url": call.callback_url,
        "callback_events": call.callback_events,
        "enqueued": enqueues,
    }
    return _compact(
        {**call.metadata, GATEWAY_KEY: {**_public_fields(call, own_url), CALL_KEY: kept}}
    )


def restore_call(metadata: str, *, room: str, own_url: str) -> Call | None:
    """The call as it was when its room was made; None if the room is not this gateway's.

    Gateways that share a LiveKit project tell their rooms apart by their own address.
    """
    try:
        content = json.loads(metadata)
        told: dict[str, Any] = content.pop(GATEWAY_KEY)
        if told["call_id"] != room or told["report_url"] != _report_url(room, own_url):
            return None
        kept: dict[str, Any] = told[CALL_KEY]
        start = int(kept["start_timestamp"])
        happened = (EventKind.REGISTERED, *([EventKind.ENQUEUED] if kept["enqueued"] else []))
        return Call(
            call_id=room,
            direction=Direction(told["direction"]),
            agent_name=str(kept["agent_name"]),
            start_timestamp=start,
            from_number=str(told["from_number"]),
            to_number=str(told["to_number"]),
            caller_name=str(kept["caller_name"]),
            account_code=str(kept["account_code"]),
            ringing_timeout=int(kept["ringing_timeout"]),
            max_call_duration=int(told["max_call_duration"]),
            metadata=content,
            jambonz=dict(kept["jambonz"]),
            callback_url=str(kept["callback_url"]),
            callback_events=tuple(kept["callback_events"]),
            timeline=tuple(TimelineEntry(start, kind) for kind in happened),
        )
    except _UNREADABLE:
        return None


def is_ours(metadata: str) -> bool:
    """Whether some gateway made the room, this one or another."""
    try:
        return GATEWAY_KEY in dict(json.loads(metadata))
    except _UNREADABLE:
        return False


def _public_fields(call: Call, own_url: str) -> dict[str, object]:
    return {
        "call_id": call.call_id,
        "direction": call.direction,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "report_url": _report_url(call.call_id, own_url),
        "max_call_duration": call.max_call_duration,
    }


def _report_url(call_id: str, own_url: str) -> str:
    return f"{own_url}/livekit-api/calls/{call_id}/report"
