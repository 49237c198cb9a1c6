"""Rooms of ended calls are deleted once: a second request at once would open them again."""

import asyncio
from typing import Any

import pytest

from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.calls.reasons import DisconnectionReason
from gateway.config.settings import StorageSettings
from gateway.lifecycle.call_metrics import new_metrics
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.lifecycle import ROOM_CLOSE_GRACE_MS, Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.storage.memory.registry import MemoryRegistry


class LiveKit:
    """Deletes a room when `go_on` is set."""

    def __init__(self) -> None:
        self.requested: list[str] = []
        self.go_on = asyncio.Event()

    async def delete_room(self, name: str) -> None:
        self.requested.append(name)
        await self.go_on.wait()


@pytest.fixture
def livekit() -> LiveKit:
    return LiveKit()


async def test_a_room_that_is_being_deleted_is_not_deleted_again(livekit: Any) -> None:
    cleanup = RoomCleanup(livekit, lambda: 0)
    cleanup.schedule("call-1", grace_ms=0)
    deletions = [asyncio.ensure_future(cleanup.delete_due()) for _ in range(2)]
    await asyncio.sleep(0)
    livekit.go_on.set()
    await asyncio.gather(*deletions)
    await cleanup.delete_due()
    assert livekit.requested == ["call-1"]


@pytest.mark.parametrize(
    "kind", [EventKind.AGENT_ENDED, EventKind.AGENT_FAILED, EventKind.ROOM_FINISHED]
)
async def test_a_room_that_goes_with_its_agent_is_deleted_only_if_it_stays(
    livekit: Any, kind: EventKind
) -> None:
    now = 0
    cleanup = RoomCleanup(livekit, lambda: now)
    registry = MemoryRegistry(StorageSettings(), since=0)
    lifecycle = Lifecycle(registry, cleanup, DeferredWrites(), new_metrics())
    await registry.add(Call("call-1", Direction.INBOUND, "agent", 0))
    livekit.go_on.set()
    await lifecycle.apply("call-1", Event(EventKind.ANSWERED, 1))
    await lifecycle.apply("call-1", Event(kind, 2, reason=DisconnectionReason.AGENT_HANGUP))
    await cleanup.delete_due()
    assert livekit.requested == []
    now = ROOM_CLOSE_GRACE_MS
    await cleanup.delete_due()
    assert livekit.requested == ["call-1"]
