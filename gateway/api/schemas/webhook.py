"""LiveKit's WebhookEvent as protobuf's JSON: the fields that the gateway reads, as JSON Schema.

https://docs.livekit.io/home/server/webhooks/
"""

from collections.abc import Mapping
from typing import Any

WEBHOOK_EVENT: Mapping[str, Any] = {
    "type": "object",
    "required": ["event"],
    "properties": {
        "event": {"type": "string", "minLength": 1, "examples": ["participant_joined"]},
        "id": {"type": "string"},
        "createdAt": {"type": "string", "description": "s since epoch", "pattern": "^[0-9]{1,18}$"},
        "room": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "sid": {"type": "string"}},
        },
        "participant": {
            "type": "object",
            "properties": {
                "identity": {"type": "string"},
                "kind": {"enum": ["STANDARD", "INGRESS", "EGRESS", "SIP", "AGENT"]},
                "disconnectReason": {
                    "type": "string",
                    "enum": ["CLIENT_INITIATED", "JOIN_FAILURE"],
                },
                "attributes": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    },
}
