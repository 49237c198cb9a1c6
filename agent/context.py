"""Job metadata → what the agent knows about its call. Pure; `gateway/metadata.py` writes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The gateway's own key in the job metadata; all other keys are the user's and the n8n guide's.
GATEWAY_KEY = "gateway"


@dataclass(frozen=True, slots=True)
class CallContext:
    """One call, as the job metadata has it. `max_call_duration` in s, 0 for no limit.

    `audible_after`: how long after the answer the caller hears us, in s.

    A job that another program dispatched has no `gateway` key: then `report_url` is "" and
    nothing is reported.
    """

    call_id: str = ""
    direction: str = ""
    from_number: str = ""
    to_number: str = ""
    report_url: str = ""
    max_call_duration: int = 0
    audible_after: float = 0.0
    session_options: Mapping[str, Any] = field(default_factory=dict)
    record_call: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_context(metadata: str) -> CallContext:
    """Never raises: a job dispatched by another program may carry any text, or none."""
    try:
        loaded = json.loads(metadata or "{}")
    except json.JSONDecodeError:
        return CallContext()
    if not isinstance(loaded, dict):
        return CallContext()
    ours = loaded.pop(GATEWAY_KEY, None)
    known = CallContext.__dataclass_fields__.keys() - {"metadata"}
    facts = {k: v for k, v in ours.items() if k in known} if isinstance(ours, dict) else {}
    return CallContext(**facts, metadata=loaded)
