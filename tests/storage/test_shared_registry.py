"""Calls that several gateways change: no change is lost, and lost data does not come back."""

import asyncio

from gateway.calls.call import Event, EventKind
from gateway.storage.redis.database import Database
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
