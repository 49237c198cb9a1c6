"""The metadata that LiveKit stores for a call: the job's, for the agent, and the room's. Pure.

Both are JSON. The agent reads the job's in `agent/context.py`; neither module imports the other, a
test checks that they agree. The room's also has what a gateway that lost the call needs to restore
it.
"""

import json
from collections.abc import Mapping
from typing import Any

from gateway.calls.call import Call, Direction, EventKind, TimelineEntry
from gateway.calls.participants import Leg

#: The gateway's own fields are under this key; all other keys are the call's metadata.
GATEWAY_KEY = "gateway"
#: Under `GATEWAY_KEY`, in a room's metadata only: the fields that `restore_call` needs besides.
CALL_KEY = "call"

#: The longest metadata that LiveKit takes, in bytes (livekit-server 1.13: limit.max_metadata_size).
MAX_METADATA = 512 * 1024

#: What parsing other programs' metadata may raise: no JSON, other JSON, JSON nested too deeply.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

_compact = json.JSONEncoder(separators=(",", ":")).encode


def job_metadata(call: Call, *, own_url: str, extras: Mapping[str, object] | None = None) -> str:
    """JSON text for the agent's job; `extras` are added to the gateway's fields."""
    return _compact(
        {**call.metadata, GATEWAY_KEY: {**_public_fields(call, own_url), **(extras or {})}}
    )


def room_metadata(call: Call, *, own_url: str, enqueues: bool = False) -> str:
    """JSON text for the room: the agent's fields, and those that `restore_call` needs besides.

    `enqueues`: whether the caller waits in a Jambonz queue until LiveKit's call dequeues them.
    """
    call_fields = {
        "agent_name": call.agent_name,
        "start_timestamp": call.start_timestamp,
        "caller_name": call.caller_name,
        "asserted_identity": call.asserted_identity,
        "diversion": call.diversion,
        "caller_answered": call.caller_answered,
        "account_code": call.account_code,
        "ringing_timeout": call.ringing_timeout,
        "jambonz": call.jambonz,
        "callback_url": call.callback_url,
        "callback_events": call.callback_events,
        "enqueued": enqueues,
    }
    return _compact(
        {**call.metadata, GATEWAY_KEY: {**_public_fields(call, own_url), CALL_KEY: call_fields}}
    )


def restore_call(metadata: str, *, room: str, own_url: str) -> Call | None:
    """The call as it was when its room was created; None if another program created the room.

    Gateways that share a LiveKit project distinguish their rooms by their own URLs.
    """
    try:
        content = json.loads(metadata)
        gateway: dict[str, Any] = content.pop(GATEWAY_KEY)
        if gateway["call_id"] != room or gateway["report_url"] != _report_url(room, own_url):
            return None
        fields: dict[str, Any] = gateway[CALL_KEY]
        start = int(fields["start_timestamp"])
        events = (EventKind.REGISTERED, *([EventKind.ENQUEUED] if fields["enqueued"] else []))
        return Call(
            call_id=room,
            direction=Direction(gateway["direction"]),
            agent_name=str(fields["agent_name"]),
            start_timestamp=start,
            from_number=str(gateway["from_number"]),
            to_number=str(gateway["to_number"]),
            caller_name=str(fields["caller_name"]),
            # Rooms of an older gateway do not have these three.
            asserted_identity=str(fields.get("asserted_identity", "")),
            diversion=str(fields.get("diversion", "")),
            caller_answered=fields.get("caller_answered") is True,
            account_code=str(fields["account_code"]),
            ringing_timeout=int(fields["ringing_timeout"]),
            max_call_duration=int(gateway["max_call_duration"]),
            metadata=content,
            jambonz=dict(fields["jambonz"]),
            callback_url=str(fields["callback_url"]),
            callback_events=tuple(fields["callback_events"]),
            traceparent=str(gateway.get("traceparent", "")),
            caller=_caller(gateway),
            timeline=tuple(TimelineEntry(start, kind) for kind in events),
        )
    except _UNREADABLE:
        return None


def _caller(gateway: Mapping[str, Any]) -> Leg | None:
    """The leg whose identity the gateway chose; that of a caller who dials in is seen in the room.

    Rooms of earlier versions have no `caller_identity`.
    """
    identity = str(gateway.get("caller_identity", ""))
    return Leg(identity) if identity else None


def is_gateway_room(metadata: str) -> bool:
    """Whether a gateway created the room, this one or another."""
    try:
        return GATEWAY_KEY in dict(json.loads(metadata))
    except _UNREADABLE:
        return False


def _public_fields(call: Call, own_url: str) -> dict[str, object]:
    """What the agent may know."""
    return {
        "call_id": call.call_id,
        "direction": call.direction,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "report_url": _report_url(call.call_id, own_url),
        "max_call_duration": call.max_call_duration,
        "caller_identity": call.caller.identity if call.caller else "",
        "trunk": call.jambonz.get("sip_trunk_name", ""),
        **({"traceparent": call.traceparent} if call.traceparent else {}),
    }


def _report_url(call_id: str, own_url: str) -> str:
    return f"{own_url}/livekit-api/calls/{call_id}/report"
