"""Calls that several gateways change: no change is lost, and lost data does not come back."""

import asyncio

import pytest

from gateway.calls.call import Event, EventKind
from gateway.calls.change import Change
from gateway.errors import StorageUnavailable
from gateway.lifecycle.call_metrics import new_metrics
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.storage.redis.database import Database
from gateway.storage.registry import CallRegistry
from tests.lifecycle.test_deferred import Cleanup
from tests.storage.conftest import (
    START,
    Receivers,
    StorageOpener,
    call,
    complete_call,
    event_ids,
)


async def test_gateways_go_on_after_redis_has_lost_its_data(
    shared: StorageOpener, receivers: Receivers, database: Database
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        await one.registry.apply("call-0001", Event(EventKind.ANSWERED, START))
        await receivers.event_ids(1)
        since = await one.registry.since()
        await database.execute("FLUSHALL")
        assert await one.registry.apply("call-0001", Event(EventKind.LEG_STATUS, START)) is None
        assert await one.registry.active() == []
        shared.now += 5_000
        restored = call(1, start_timestamp=shared.now)
        assert (await other.registry.add(restored)).is_new
        assert await one.registry.since() == shared.now > since
        change = await one.registry.apply("call-0001", Event(EventKind.ANSWERED, START))
        assert change
        assert change.answered
        assert change.before == restored
        await complete_call(other.registry, 2)
        received = await receivers.event_ids(5)
        assert [event_id for event_id in received if "0002" in event_id] == event_ids(2)
        assert set(received) - set(event_ids(2)) == {"evt_call-0001_call_started"}


async def test_an_old_version_never_replaces_a_newer_one(
    shared: StorageOpener, database: Database
) -> None:
    """Redis was restored from an older state, and calls have changed since."""
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        key = database.key("call", "call-0001")
        old_state = await database.execute("HGETALL", key)
        await one.registry.apply("call-0001", Event(EventKind.LEG_STATUS, START, detail="lost"))
        await database.execute("HSET", key, *(text for pair in old_state.items() for text in pair))
        await other.registry.apply("call-0001", Event(EventKind.LEG_STATUS, START, detail="new"))
        change = await one.registry.apply("call-0001", Event(EventKind.ANSWERED, START))
        assert change
        assert [entry.detail for entry in change.after.timeline] == ["new", ""]


async def test_concurrent_changes_by_two_gateways_are_all_stored(shared: StorageOpener) -> None:
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        gateways = (one, other)
        events = [Event(EventKind.LEG_STATUS, START, ids={f"k{n}": str(n)}) for n in range(200)]
        await asyncio.gather(
            *(gateways[n % 2].registry.apply("call-0001", event) for n, event in enumerate(events))
        )
        stored = await one.registry.get("call-0001")
        assert stored
        assert len(stored.livekit) == 200


@pytest.mark.field("D10")
async def test_a_change_whose_answer_was_lost_is_stored_once_however_often_it_is_tried(
    shared: StorageOpener, database: Database, receivers: Receivers
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        registry = LossyRegistry(one.registry)
        deferred, cleanup = DeferredWrites(), Cleanup()
        lifecycle = Lifecycle(registry, cleanup, deferred, new_metrics())  # type: ignore[arg-type]
        await lifecycle.apply("call-0001", Event(EventKind.LEG_STATUS, START, detail="tried"))
        await lifecycle.apply("call-0001", Event(EventKind.AGENT_FAILED, START))
        # Another gateway changes the call before this one tries again.
        await other.registry.apply("call-0001", Event(EventKind.LEG_STATUS, START, detail="other"))
        registry.lost = 1
        await deferred.replay()
        await deferred.replay()
        assert not deferred
        stored = await other.registry.get("call-0001")
        assert stored
        assert sorted(entry.detail for entry in stored.timeline) == ["", "other", "tried"]
        assert cleanup.scheduled == ["call-0001"]
        await lifecycle.apply("call-0001", Event(EventKind.REPORT_MISSED, START))
        assert await receivers.event_ids(2) == event_ids(1)[1:]


class LossyRegistry:
    """Carries out each change; the answers to the first `lost` of them do not arrive."""

    lost = 1

    def __init__(self, registry: CallRegistry) -> None:
        self._registry = registry

    async def apply(self, call_id: str, event: Event, *, change_id: str) -> Change | None:
        change = await self._registry.apply(call_id, event, change_id=change_id)
        if self.lost:
            self.lost -= 1
            raise StorageUnavailable("no answer in time")
        return change
