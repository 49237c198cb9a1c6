"""Callbacks of several gateways that share a Redis: each is delivered by one of them."""

import asyncio

import pytest

from gateway.calls.call import Event, EventKind
from gateway.storage.redis import outbox
from gateway.storage.redis.database import Database
from tests.storage.conftest import (
    START,
    Receivers,
    StorageOpener,
    complete_call,
    event_ids,
    repeated,
)

#: What remains in Redis once no call is stored; `pending` counts deliveries.
REMAINING = {"since", "feed", "outbox", "pending"}


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that does not renew its entries for 0.4 s counts as dead."""
    monkeypatch.setattr(outbox, "LEASE_MS", 400)
    monkeypatch.setattr(outbox, "RENEW_INTERVAL", 0.05)


async def keys(database: Database) -> set[str]:
    """All keys of the gateways, without their prefix."""
    names: set[str] = set()
    cursor = "0"
    while True:
        cursor, batch = await database.execute(
            "SCAN", cursor, "MATCH", database.key("*"), "COUNT", 1000
        )
        names.update(key.removeprefix(database.key("")) for key in batch)
        if not int(cursor):
            return names


async def all_delivered(database: Database) -> None:
    async with asyncio.timeout(20):
        while await database.execute("XLEN", database.key("outbox")):
            await asyncio.sleep(0.01)


async def test_each_callback_is_delivered_by_one_gateway(
    shared: StorageOpener, receivers: Receivers
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        gateways = (one, other)
        await asyncio.gather(
            *(complete_call(gateways[number % 2].registry, number) for number in range(60))
        )
        received = await receivers.event_ids(180)
        assert not repeated(received)
        for number in range(60):
            of_call = [event_id for event_id in received if f"-{number:04}_" in event_id]
            assert of_call == event_ids(number)


async def test_a_pruned_call_leaves_nothing_in_redis(
    shared: StorageOpener, receivers: Receivers, database: Database
) -> None:
    async with shared.opened() as one, shared.opened():
        for number in range(10):
            await complete_call(one.registry, number)
            await one.registry.apply(
                f"call-{number:04}", Event(EventKind.LEG_STATUS, START, id=f"EV_{number}")
            )
        await receivers.event_ids(30)
        await all_delivered(database)
        assert len(await one.registry.prune(START + 10**6)) == 10
        remaining = await keys(database)
        of_events = {key for key in remaining if key.startswith("event:")}
        assert len(of_events) == 10
        for key in of_events:
            assert int(await database.execute("PTTL", database.key(key))) > 0
        assert remaining - of_events == REMAINING
        assert await database.execute("GET", database.key("pending")) == "0"


async def test_a_call_that_is_pruned_before_its_callbacks_leaves_nothing_in_redis(
    shared: StorageOpener, receivers: Receivers, database: Database
) -> None:
    unblocked = receivers.block()
    async with shared.opened() as one:
        for number in range(3):
            await complete_call(one.registry, number)
        await receivers.attempted(3)
        assert len(await one.registry.prune(START + 10**6)) == 3
        unblocked.set()
        await receivers.event_ids(9)
        await all_delivered(database)
        assert await keys(database) == REMAINING
        assert await database.execute("GET", database.key("pending")) == "0"


async def test_a_delivery_in_progress_is_finished_after_redis_has_lost_its_data(
    shared: StorageOpener, receivers: Receivers, database: Database
) -> None:
    unblocked = receivers.block()
    async with shared.opened() as one:
        await complete_call(one.registry, 1)
        await receivers.attempted(1)
        await database.execute("FLUSHALL")
        receivers.statuses.append(503)
        unblocked.set()
        assert await receivers.event_ids(2) == event_ids(1)[:1] * 2
        await complete_call(one.registry, 2)
        await receivers.event_ids(5)
        await all_delivered(database)
        await one.registry.prune(START + 10**6)
        assert await keys(database) == REMAINING


@pytest.mark.usefixtures("short_leases")
async def test_the_entries_of_a_dead_gateway_are_claimed(
    shared: StorageOpener, receivers: Receivers, database: Database
) -> None:
    unblocked = receivers.block()
    async with shared.opened() as one:
        for number in (1, 2):
            await complete_call(one.registry, number)
        await receivers.attempted(2)
        await shared.kill(one)
        unblocked.set()
        async with shared.opened():
            received = await receivers.event_ids(6)
            assert sorted(received) == sorted(event_ids(1, 2))
            await all_delivered(database)
        assert [event_id for event_id in received if "0001" in event_id] == event_ids(1)


@pytest.mark.usefixtures("short_leases")
async def test_a_slow_gateway_stops_delivering_what_another_has_claimed(
    shared: StorageOpener, receivers: Receivers, database: Database
) -> None:
    unblocked = receivers.block()
    async with shared.opened() as one:
        await complete_call(one.registry, 1)
        await receivers.attempted(1)
        for task in shared.transports[id(one)].background:
            task.cancel()  # it renews nothing any more, but goes on with its deliveries
        async with shared.opened():
            await receivers.attempted(2)
            unblocked.set()
            await receivers.event_ids(4)
            await all_delivered(database)
        received = await receivers.event_ids(4)
        assert repeated(received) == {event_ids(1)[0]: 2}
        assert sorted(set(received), key=received.index) == event_ids(1)


async def test_a_gateway_that_stops_releases_its_entries_at_once(
    shared: StorageOpener,
    receivers: Receivers,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "LEASE_MS", 10**9)  # no entry is claimed
    unblocked = receivers.block()
    async with shared.opened() as one:
        for number in (1, 2):
            await complete_call(one.registry, number)
        await receivers.attempted(2)
    unblocked.set()
    async with shared.opened():
        assert sorted(await receivers.event_ids(6)) == sorted(event_ids(1, 2))
        await all_delivered(database)
        consumers = await database.execute(
            "XINFO", "CONSUMERS", database.key("outbox"), outbox.GROUP
        )
        assert len(consumers) == 1


@pytest.mark.usefixtures("short_leases")
async def test_a_slow_chain_stays_with_its_gateway(
    shared: StorageOpener, receivers: Receivers
) -> None:
    unblocked = receivers.block()
    async with shared.opened() as one, shared.opened():
        await complete_call(one.registry, 1)
        await receivers.attempted(1)
        await asyncio.sleep(1.5)  # several leases
        unblocked.set()
        assert await receivers.event_ids(3) == event_ids(1)
        assert receivers.attempts == receivers.responded


async def test_consumers_of_dead_gateways_are_removed(
    shared: StorageOpener, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RENEW_INTERVAL", 0.05)
    monkeypatch.setattr(outbox, "CONSUMER_IDLE_MS", 300)
    async with shared.opened():
        group = database.key("outbox"), outbox.GROUP
        await database.run("create_group", *group)
        await database.execute("XGROUP", "CREATECONSUMER", *group, "dead")

        async def consumers() -> list[str]:
            replies = await database.execute("XINFO", "CONSUMERS", *group)
            return [reply[reply.index("name") + 1] for reply in replies]

        assert "dead" in await consumers()
        async with asyncio.timeout(20):
            while "dead" in await consumers():
                await asyncio.sleep(0.02)
