"""The job metadata: one JSON object that tells the agent about its call. Pure.

The agent reads it in `agent/context.py`; neither imports the other, a test keeps them in step.
"""

import json

from gateway.calls import Call

#: The one key that is ours alone; everything else is flat, as the n8n guide has it.
RESERVED = "gateway"

_compact = json.JSONEncoder(separators=(",", ":")).encode


def job_metadata(call: Call, *, own_url: str, max_call_duration: int) -> str:
    """JSON text for the room and the agent's job. `max_call_duration` in seconds."""
    return _compact(
        {
            **call.metadata,
            **_caller(call),
            RESERVED: {
                "call_id": call.call_id,
                "direction": call.direction,
                "from_number": call.from_number,
                "to_number": call.to_number,
                "report_url": f"{own_url}/livekit-api/calls/{call.call_id}/report",
                "max_call_duration": max_call_duration,
            },
        }
    )


def _caller(call: Call) -> dict[str, str]:
    facts = {
        "destination": call.to_number,
        "account_code": call.account_code,
        "caller_number": call.from_number,
        "caller_name": call.caller_name,
    }
    return {key: value for key, value in facts.items() if value}
