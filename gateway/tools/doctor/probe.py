"""Rooms made to see what comes to them; they are deleted again, whatever happens."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import RoomRequest

#: What an agent that gets a probe job is told of it, in place of a call.
METADATA = json.dumps({"probe": "gateway doctor"})
#: How long LiveKit keeps the room if we cannot delete it, in s.
EMPTY_TIMEOUT = 20
#: Between two looks at a room, in s.
LOOK_EVERY = 0.1


@asynccontextmanager
async def probe_room(livekit: LiveKit, agent_name: str = "") -> AsyncIterator[str]:
    """A room's name while it is there, with a job for the agent if one is named.

    Raises LiveKitRefused, LiveKitUnreachable.
    """
    name = f"doctor-{secrets.token_hex(5)}"
    try:
        await livekit.create_room(RoomRequest(name, METADATA, EMPTY_TIMEOUT, agent_name, METADATA))
        yield name
    finally:
        await livekit.delete_room(name)
