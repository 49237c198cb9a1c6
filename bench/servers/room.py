"""What every compared server does: a room with an agent at LiveKit, and a `dial` into it."""

import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from livekit import api
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import CreateRoomRequest

#: How long LiveKit keeps a room that nobody joins, in s.
EMPTY_TIMEOUT = 10


@asynccontextmanager
async def livekit() -> AsyncIterator[api.LiveKitAPI]:
    """As livekit-api's documentation uses it, which signs a token for each request."""
    url, key, secret = (os.environ[f"LIVEKIT_{name}"] for name in ("URL", "API_KEY", "API_SECRET"))
    async with api.LiveKitAPI(url, key, secret) as client:
        yield client


def new_name() -> str:
    return f"call-{uuid.uuid4()}"


def room(name: str, from_number: str, to_number: str) -> CreateRoomRequest:
    metadata = json.dumps({"caller_number": from_number, "destination": to_number})
    return CreateRoomRequest(
        name=name,
        metadata=metadata,
        agents=[RoomAgentDispatch(agent_name="bench", metadata=metadata)],
        empty_timeout=EMPTY_TIMEOUT,
    )


def verbs(name: str) -> list[dict[str, Any]]:
    return [{"verb": "dial", "target": [{"type": "sip", "sipUri": f"sip:{name}@127.0.0.1"}]}]
