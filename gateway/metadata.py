"""The job metadata: one JSON object that tells the agent about its call. Pure.

The agent reads it in `agent/context.py`; neither imports the other, a test keeps them in step.
"""

import json
from collections.abc import Mapping

from gateway.calls import Call

#: The one key that is ours alone; everything else is flat, as the n8n guide has it.
RESERVED = "gateway"

_compact = json.JSONEncoder(separators=(",", ":")).encode


def job_metadata(call: Call, *, own_url: str, extras: Mapping[str, object] | None = None) -> str:
    """JSON text for the room and the agent's job; `extras` go beside what is ours."""
    return _compact(
        {
            **call.metadata,
            RESERVED: {
                "call_id": call.call_id,
                "direction": call.direction,
                "from_number": call.from_number,
                "to_number": call.to_number,
                "report_url": f"{own_url}/livekit-api/calls/{call.call_id}/report",
                "max_call_duration": call.max_call_duration,
                **(extras or {}),
            },
        }
    )


def without_blanks(facts: Mapping[str, object]) -> dict[str, object]:
    """`facts` that there is something to say about."""
    return {key: value for key, value in facts.items() if value not in ("", None)}
