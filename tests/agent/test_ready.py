"""When the agent reports that it can be heard, upon which an outbound call is dialed."""

import asyncio
from typing import Any, cast

import pytest

from agent.context import CallContext
from agent.diagnostic import converse
from agent.record import Record


class Room:
    """A room in which nobody else is. LiveKit has published the agent's track once it says so."""

    def __init__(self) -> None:
        self.local_participant = self
        self.remote_participants: dict[str, object] = {}
        self.publishing = asyncio.Event()
        self.published = asyncio.Event()

    async def publish_track(self, *_: object) -> None:
        self.publishing.set()
        await self.published.wait()

    def on(self, *_: object) -> None: ...

    def off(self, *_: object) -> None: ...

    def isconnected(self) -> bool:
        return True


@pytest.mark.field("B1")
async def test_the_agent_is_ready_once_its_track_is_published() -> None:
    room, ready = Room(), asyncio.Event()

    async def on_ready() -> None:
        ready.set()

    async with asyncio.timeout(10):
        talking = asyncio.create_task(converse(cast(Any, room), CallContext(), Record(), on_ready))
        await room.publishing.wait()
        await asyncio.sleep(0.05)
        assert not ready.is_set()
        room.published.set()
        await ready.wait()
    talking.cancel()
    await asyncio.wait({talking})
