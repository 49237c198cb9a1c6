"""Several gateways on one Redis: what is one's, what is taken over, what is left in the end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.config.settings import MonitorSettings
from gateway.errors import StorageUnavailable
from gateway.storage.redis import idempotency, leader, outbox
from gateway.storage.redis.database import Database
from tests.storage.conftest import (
    CONFIG,
    START,
    Opener,
    Receivers,
    call,
    live_through,
    repeats,
    story_of,
)
from tests.storage.test_feed import mark, said, some


@pytest.fixture
async def database(shared: Opener) -> AsyncIterator[Database]:
    """To look behind the stores with."""
    async with shared.database() as opened:
        yield opened


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is silent for 0.4 s is gone."""
    monkeypatch.setattr(outbox, "LEASE_MS", 400)
    monkeypatch.setattr(outbox, "HOLD_EVERY", 0.05)
    monkeypatch.setattr(idempotency, "LEASE_MS", 400)
    monkeypatch.setattr(idempotency, "RENEW_EVERY", 0.05)


async def keys(database: Database) -> set[str]:
    """What is kept under our prefix, without it."""
    found: set[str] = set()
    cursor = "0"
    while True:
        words = "MATCH", database.key("*"), "COUNT", 1000
        cursor, some_keys = await database.ask("SCAN", cursor, *words)
        found.update(key.removeprefix(database.key("")) for key in some_keys)
        if not int(cursor):
            return found


async def all_delivered(database: Database) -> None:
    async with asyncio.timeout(20):
        while await database.ask("XLEN", database.key("outbox")):
            await asyncio.sleep(0.01)


async def test_each_callback_is_delivered_by_one_of_them(
    shared: Opener, receivers: Receivers
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        gateways = (one, other)
        await asyncio.gather(
            *(live_through(gateways[number % 2].registry, number) for number in range(60))
        )
        heard = await receivers.heard_of(180)
        assert not repeats(heard)
        for number in range(60):
            assert [each for each in heard if f"-{number:04}_" in each] == story_of(number)


async def test_nothing_is_left_of_a_call(
    shared: Opener, receivers: Receivers, database: Database
) -> None:
    async with shared.opened() as one, shared.opened():
        for number in range(10):
            await live_through(one.registry, number)
            await one.registry.apply(
                f"call-{number:04}", Event(EventKind.LEG_STATUS, START, id=f"EV_{number}")
            )
        await receivers.heard_of(30)
        await all_delivered(database)
        assert len(await one.registry.prune(START + 10**6)) == 10
        left = await keys(database)
        of_events = {key for key in left if key.startswith("event:")}
        assert len(of_events) == 10
        for key in of_events:
            assert int(await database.ask("PTTL", database.key(key))) > 0
        assert left - of_events == {"since", "feed", "outbox", "pending"}
        assert await database.ask("GET", database.key("pending")) == "0"


async def test_nothing_is_left_of_a_call_that_was_dropped_first(
    shared: Opener, receivers: Receivers, database: Database
) -> None:
    alive = receivers.hang()
    async with shared.opened() as one:
        for number in range(3):
            await live_through(one.registry, number)
        await receivers.were_asked(3)
        assert len(await one.registry.prune(START + 10**6)) == 3
        alive.set()
        await receivers.heard_of(9)
        await all_delivered(database)
        assert await keys(database) == {"since", "feed", "outbox", "pending"}
        assert await database.ask("GET", database.key("pending")) == "0"


async def test_a_delivery_that_outlives_the_data_is_made_and_leaves_nothing(
    shared: Opener, receivers: Receivers, database: Database
) -> None:
    alive = receivers.hang()
    async with shared.opened() as one:
        await live_through(one.registry, 1)
        await receivers.were_asked(1)
        await database.ask("FLUSHALL")
        receivers.answers.append(503)
        alive.set()
        assert await receivers.heard_of(2) == story_of(1)[:1] * 2
        await live_through(one.registry, 2)
        await receivers.heard_of(5)
        await all_delivered(database)
        await one.registry.prune(START + 10**6)
        assert await keys(database) == {"since", "feed", "outbox", "pending"}


@pytest.mark.usefixtures("quick")
async def test_what_one_that_died_had_read_is_taken_over(
    shared: Opener, receivers: Receivers, database: Database
) -> None:
    alive = receivers.hang()
    async with shared.opened() as one:
        for number in (1, 2):
            await live_through(one.registry, number)
        await receivers.were_asked(2)
        await shared.kill(one)
        alive.set()
        async with shared.opened():
            heard = await receivers.heard_of(6)
            assert sorted(heard) == sorted(story_of(1, 2))
            await all_delivered(database)
        assert [each for each in heard if "0001" in each] == story_of(1)


@pytest.mark.usefixtures("quick")
async def test_one_that_was_only_slow_does_not_go_on_with_what_was_taken_over(
    shared: Opener, receivers: Receivers, database: Database
) -> None:
    alive = receivers.hang()
    async with shared.opened() as one:
        await live_through(one.registry, 1)
        await receivers.were_asked(1)
        for task in shared.lines[id(one)].beside:
            task.cancel()  # no sign of life any more, but what is under way goes on
        async with shared.opened():
            await receivers.were_asked(2)
            alive.set()
            await receivers.heard_of(4)
            await all_delivered(database)
        heard = await receivers.heard_of(4)
        assert repeats(heard) == {story_of(1)[0]: 2}
        assert sorted(set(heard), key=heard.index) == story_of(1)


async def test_a_planned_stop_hands_over_at_once(
    shared: Opener, receivers: Receivers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEASE_MS", 10**9)  # nothing is taken over for silence
    alive = receivers.hang()
    async with shared.opened() as one:
        for number in (1, 2):
            await live_through(one.registry, number)
        await receivers.were_asked(2)
    alive.set()
    async with shared.opened():
        assert sorted(await receivers.heard_of(6)) == sorted(story_of(1, 2))
        await all_delivered(database)
        groups = await database.ask("XINFO", "CONSUMERS", database.key("outbox"), outbox.GROUP)
        assert len(groups) == 1


@pytest.mark.usefixtures("quick")
async def test_a_slow_chain_is_not_taken_from_one_that_lives(
    shared: Opener, receivers: Receivers
) -> None:
    alive = receivers.hang()
    async with shared.opened() as one, shared.opened():
        await live_through(one.registry, 1)
        await receivers.were_asked(1)
        await asyncio.sleep(1.5)  # several times as long as silence is allowed to last
        alive.set()
        assert await receivers.heard_of(3) == story_of(1)
        assert receivers.asked == receivers.heard


async def test_readers_that_are_gone_are_forgotten(
    shared: Opener, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "HOLD_EVERY", 0.05)
    monkeypatch.setattr(outbox, "GONE_MS", 300)
    async with shared.opened():
        words = database.key("outbox"), outbox.GROUP
        await database.run("create_group", *words)
        await database.ask("XGROUP", "CREATECONSUMER", *words, "gone")

        async def readers() -> list[str]:
            told = await database.ask("XINFO", "CONSUMERS", *words)
            return [each[each.index("name") + 1] for each in told]

        assert "gone" in await readers()
        async with asyncio.timeout(20):
            while "gone" in await readers():
                await asyncio.sleep(0.02)


async def test_the_data_is_lost_and_all_goes_on(
    shared: Opener, receivers: Receivers, database: Database
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        await one.registry.apply("call-0001", Event(EventKind.ANSWERED, START))
        await receivers.heard_of(1)
        began = await one.registry.since()
        await database.ask("FLUSHALL")
        assert await one.registry.apply("call-0001", Event(EventKind.LEG_STATUS, START)) is None
        assert await one.registry.active() == []
        shared.now += 5_000
        again = call(1, start_timestamp=shared.now)
        assert (await other.registry.add(again)).is_new
        assert await one.registry.since() == shared.now > began
        change = await one.registry.apply("call-0001", Event(EventKind.ANSWERED, START))
        assert change
        assert change.answered
        assert change.before == again
        await live_through(other.registry, 2)
        heard = await receivers.heard_of(5)
        assert [event_id for event_id in heard if "0002" in event_id] == story_of(2)
        assert set(heard) - set(story_of(2)) == {"evt_call-0001_call_started"}


async def test_an_older_state_is_never_written_over_a_newer_one(
    shared: Opener, database: Database
) -> None:
    """A Redis that came back with older data, and went on from there."""
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        before = await database.ask("HGETALL", database.key("call", "call-0001"))
        await one.registry.apply("call-0001", Event(EventKind.LEG_STATUS, START, detail="lost"))
        words = (word for pair in before.items() for word in pair)
        await database.ask("HSET", database.key("call", "call-0001"), *words)
        await other.registry.apply("call-0001", Event(EventKind.LEG_STATUS, START, detail="new"))
        change = await one.registry.apply("call-0001", Event(EventKind.ANSWERED, START))
        assert change
        assert [entry.detail for entry in change.after.timeline] == ["new", ""]


async def test_conflicts_lose_nothing(shared: Opener) -> None:
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        gateways = (one, other)
        events = [Event(EventKind.LEG_STATUS, START, ids={f"k{n}": str(n)}) for n in range(200)]
        await asyncio.gather(
            *(gateways[n % 2].registry.apply("call-0001", event) for n, event in enumerate(events))
        )
        kept = await one.registry.get("call-0001")
        assert kept
        assert len(kept.livekit) == 200


class Dies(asyncio.CancelledError):
    """The gateway that makes the call is gone in the middle of it."""


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("registered", [False, True])
async def test_a_maker_that_dies_leaves_one_call(shared: Opener, registered: bool) -> None:
    async with shared.opened() as one, shared.opened() as other:
        made: list[str] = []

        def order(call_id: str) -> Call:
            return call(1, call_id=call_id, direction=Direction.OUTBOUND, jambonz={})

        async def dies(call_id: str) -> Call:
            made.append(call_id)
            if registered:
                await one.registry.add(order(call_id))
            raise Dies

        async def makes(call_id: str) -> Call:
            made.append(call_id)
            return (await other.registry.add(order(call_id))).call

        with pytest.raises(asyncio.CancelledError):
            await one.idempotency.run("key", "print", dies)
        outcome = await other.idempotency.run("key", "print", makes)
        assert await one.idempotency.run("key", "print", makes) == outcome
        assert made == [outcome.call_id] * (1 if registered else 2)
        assert await other.registry.count_active() == 1


@pytest.mark.usefixtures("quick")
async def test_a_slow_maker_keeps_its_key(shared: Opener) -> None:
    async with shared.opened() as one, shared.opened() as other:
        made: list[str] = []

        async def slow(call_id: str) -> Call:
            made.append(call_id)
            await asyncio.sleep(1.2)  # several leases
            return call(1, call_id=call_id)

        first = asyncio.ensure_future(one.idempotency.run("key", "print", slow))
        async with asyncio.timeout(10):
            while not made:
                await asyncio.sleep(0.01)
        assert await other.idempotency.run("key", "print", slow) == await first
        assert len(made) == 1


async def test_one_watches_and_is_relieved(shared: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "GRACE_MS", 300)
    config = replace(CONFIG, monitor=MonitorSettings(interval=0.05))
    async with shared.opened(config) as one, shared.opened(config) as other:
        assert await one.leader.acquire()
        assert not await other.leader.acquire()
        assert await one.leader.acquire()
        await one.leader.release()
        assert await other.leader.acquire()
        await one.leader.release()  # it is not one's to give up
        assert not await one.leader.acquire()
        async with asyncio.timeout(10):  # the other one is gone
            while not await one.leader.acquire():
                await asyncio.sleep(0.02)


async def test_news_reach_the_listeners_of_all(shared: Opener) -> None:
    async with shared.opened() as one, shared.opened() as other:
        since = await mark(one.registry, other.feed)
        await live_through(one.registry, 1)
        heard = await some(aiter(other.feed.listen(since)), 4)
        assert [said(news)[0] for news in heard] == ["call-0001"] * 4


async def test_a_defect_is_no_absence(shared: Opener, database: Database) -> None:
    async with shared.opened() as one:
        await database.ask("SET", database.key("call", "call-0001"), "something else")
        with pytest.raises(Exception, match="WRONGTYPE") as defect:
            await one.registry.add(call(1))
        assert not isinstance(defect.value, StorageUnavailable)


async def test_a_cancelled_request_spoils_no_other_answer(database: Database) -> None:
    async def cancelled(number: int) -> None:
        asking = asyncio.ensure_future(database.ask("ECHO", f"cancelled {number}"))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})

    for number in range(100):
        await asyncio.gather(*(cancelled(each) for each in range(number, number + 8)))
        assert await database.ask("ECHO", str(number)) == str(number)
