"""Job metadata, written by `gateway/livekit/metadata.py`, to a CallContext. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The gateway's own key in the job metadata; all other keys are the dispatch request's.
GATEWAY_KEY = "gateway"


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call, as the job metadata has it. `max_call_duration` in s, 0 for no limit.

    `audible_after`: how long after their SIP leg was answered the caller hears the agent, in s.

    `transfer_timeout`: how long the caller may be away while somebody is asked to take them, in s.

    `caller_identity`: the participant that the gateway dials, "" if the caller dials in. `trunk`:
    the Jambonz carrier that an inbound call came by.

    `traceparent`: the trace that the call belongs to, as W3C has it; "" if there is none.

    A job that another program dispatched has no `gateway` key: its `report_url` is "", and the
    agent reports nothing.
    """

    call_id: str = ""
    direction: str = ""
    from_number: str = ""
    to_number: str = ""
    report_url: str = ""
    max_call_duration: int = 0
    caller_identity: str = ""
    trunk: str = ""
    audible_after: float = 0.0
    transfer_timeout: float = 130.0
    session_options: Mapping[str, Any] = field(default_factory=dict)
    record_call: bool = False
    traceparent: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_context(metadata: str) -> CallContext:
    """Never raises: a job dispatched by another program may carry any text, or none."""
    try:
        loaded = json.loads(metadata or "{}")
    except json.JSONDecodeError:
        return CallContext()
    if not isinstance(loaded, dict):
        return CallContext()
    gateway = loaded.pop(GATEWAY_KEY, None)
    names = CallContext.__dataclass_fields__.keys() - {"metadata"}
    known = {k: v for k, v in gateway.items() if k in names} if isinstance(gateway, dict) else {}
    return CallContext(**known, metadata=loaded)
