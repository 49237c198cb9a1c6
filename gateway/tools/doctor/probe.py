"""Probe rooms: created at LiveKit to observe what happens in them, and always deleted."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import RoomRequest

#: The metadata that an agent gets in place of a call's.
METADATA = json.dumps({"probe": "gateway doctor"})
#: After how long LiveKit deletes the empty room if we cannot, in s.
EMPTY_TIMEOUT = 20
#: How long to wait between two requests for the state of a room, in s.
POLL_INTERVAL = 0.1


@asynccontextmanager
async def probe_room(livekit: LiveKit, agent_name: str = "") -> AsyncIterator[str]:
    """Create a room, with a job for the agent `agent_name` if given; yields the room's name.

    Raises LiveKitRefused, LiveKitUnreachable.
    """
    name = f"doctor-{secrets.token_hex(5)}"
    try:
        await livekit.create_room(RoomRequest(name, METADATA, EMPTY_TIMEOUT, agent_name, METADATA))
        yield name
    finally:
        await livekit.delete_room(name)
