"""A record that cannot be read, among others that can: only what needs it fails, and is logged."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.callbacks.events import CallbackEvent
from gateway.calls.call import Call, Event, EventKind
from gateway.errors import RecordUnreadable
from gateway.storage.redis import outbox
from gateway.storage.redis.database import Database
from gateway.storage.registry import CallFilter, CallRegistry
from tests.storage.conftest import (
    CONFIG,
    START,
    Receivers,
    StorageOpener,
    call,
    complete_call,
    event_ids,
)

#: As Lua writes a string: what another program, or a newer gateway, might store.
CUT_OFF = pytest.param("""'{"format": 1, "call": {"call_id": "call'""", id="cut off")
NOT_UTF_8 = pytest.param(r"'\255\254'", id="not UTF-8")
NEWER = pytest.param("""'{"format": 99}'""", id="newer")
LOG_EVENT = "storage.record_unreadable"


async def overwrite(database: Database, value: str, *place: str) -> None:
    """Store `value`, a Lua string, in the hash at `place`, whose last part is the field."""
    *key, field = place
    script = f"return redis.call('HSET', KEYS[1], ARGV[1], {value})"
    await database.execute("EVAL", script, 1, database.key(*key), field)


@pytest.mark.field("D7")
@pytest.mark.parametrize(("value", "remaining"), [(CUT_OFF, 2), (NOT_UTF_8, 2), (NEWER, 3)])
async def test_an_unreadable_call_is_left_out_of_lists_and_logged_once(
    shared: StorageOpener,
    database: Database,
    value: Any,
    remaining: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        for number in (1, 2, 3):
            await one.registry.add(call(number))
        await overwrite(database, value.values[0], "call", "call-0002", "json")
        page = await other.registry.page(CallFilter(), limit=10, after=None)
        assert [listed.call_id for listed in page.calls] == ["call-0003", "call-0001"]
        for _ in range(3):
            overdue = await other.registry.due(START + 10**6)
            assert [item.call_id for item in overdue] == ["call-0001", "call-0003"]
        assert len(await other.registry.active()) == remaining
        output = capsys.readouterr().out
        assert output.count(LOG_EVENT) == 1
        assert database.key("call", "call-0002") in output


#: What asks for one call in each way.
QUESTIONS: dict[str, Callable[[CallRegistry], Awaitable[object]]] = {
    "get": lambda registry: registry.get("call-0001"),
    "find": lambda registry: registry.find_by_call_sid("sid-1"),
    "apply": lambda registry: registry.apply("call-0001", Event(EventKind.ANSWERED, START)),
    "due": lambda registry: registry.due(START + 10**6),
}


@pytest.mark.field("D7")
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("value", [CUT_OFF, NOT_UTF_8])
async def test_a_damaged_call_is_set_aside_and_unknown_from_then_on(
    shared: StorageOpener, database: Database, value: str, question: str
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        await overwrite(database, value, "call", "call-0001", "json")
        assert not await QUESTIONS[question](other.registry)
        assert await other.registry.get("call-0001") is None
        assert await other.registry.active() == []
        (record,) = await database.execute("LRANGE", database.key("unreadable"), 0, -1)
        assert record.startswith("call-0001 ")
        assert (await other.registry.add(call(1))).is_new


@pytest.mark.field("D7")
@pytest.mark.parametrize("value", [CUT_OFF, NOT_UTF_8])
async def test_a_caller_whose_stored_call_is_damaged_is_registered_anew(
    shared: StorageOpener, database: Database, value: str
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        await overwrite(database, value, "call", "call-0001", "json")
        added = await other.registry.add(call(1, call_id="call-0002"))
        assert (added.call.call_id, added.is_new, added.active) == ("call-0002", True, 1)


@pytest.mark.field("D7")
async def test_a_call_in_a_newer_format_is_an_error_for_requests_about_it(
    shared: StorageOpener, database: Database
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        await one.registry.add(call(1))
        await overwrite(database, str(NEWER.values[0]), "call", "call-0001", "json")
        for question in ("get", "find", "apply"):
            with pytest.raises(RecordUnreadable, match="call-0001"):
                await QUESTIONS[question](other.registry)
        with pytest.raises(RecordUnreadable, match="call-0001"):
            await other.registry.add(call(1))
        stored = await database.execute("HGET", database.key("call", "call-0001"), "json")
        assert "call_sid" not in stored  # no request has replaced it


@pytest.mark.field("D7")
@pytest.mark.parametrize("value", [CUT_OFF, NOT_UTF_8])
async def test_the_chain_goes_on_after_a_damaged_delivery(
    shared: StorageOpener,
    database: Database,
    receivers: Receivers,
    value: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unblocked = receivers.block()
    async with shared.opened() as one:
        await complete_call(one.registry, 1)
        await receivers.attempted(1)
        _, ended, analyzed = await one.outbox.of("call-0001")
        await overwrite(database, value, "deliveries", "call-0001", ended.delivery_id)
        assert len(await one.outbox.of("call-0001")) == 2
        with pytest.raises(RecordUnreadable):
            await one.outbox.retry("call-0001", ended.delivery_id)
        unblocked.set()
        assert await receivers.event_ids(2) == [event_ids(1)[0], analyzed.event_id]
        async with asyncio.timeout(20):
            while await database.execute("XLEN", database.key("outbox")):
                await asyncio.sleep(0.01)
        assert await database.execute("GET", database.key("pending")) == "0"
        assert await one.outbox.retry("call-0001", ended.delivery_id) is None
        (record,) = await database.execute("LRANGE", database.key("unreadable"), 0, -1)
        assert record.startswith(ended.delivery_id)
    output = capsys.readouterr().out
    assert output.count(LOG_EVENT) == 1
    assert ended.delivery_id in output


async def test_a_delivery_of_a_newer_format_is_left_to_a_newer_gateway(
    shared: StorageOpener,
    database: Database,
    receivers: Receivers,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(outbox, "LEASE_MS", 300)
    monkeypatch.setattr(outbox, "RENEW_INTERVAL", 0.05)
    unblocked = receivers.block()
    async with shared.opened() as one:
        await complete_call(one.registry, 1)
        await receivers.attempted(1)
        _, ended, _ = await one.outbox.of("call-0001")
        place = "deliveries", "call-0001", ended.delivery_id
        record = await database.execute("HGET", database.key(*place[:2]), place[2])
        await overwrite(database, str(NEWER.values[0]), *place)
        unblocked.set()
        await complete_call(one.registry, 2)
        received = await receivers.event_ids(4)
        assert set(received) == {event_ids(1)[0], *event_ids(2)}
        await asyncio.sleep(1)  # it is claimed several times, and left alone each time
        assert len(await receivers.event_ids(4)) == 4
        # Now it is readable, as it would be for a newer gateway.
        await database.execute("HSET", database.key(*place[:2]), place[2], record)
        received = await receivers.event_ids(6)
        assert [event_id for event_id in received if "0001" in event_id] == event_ids(1)
    assert capsys.readouterr().out.count(LOG_EVENT) == 1


@pytest.mark.field("D7")
async def test_a_delivery_of_a_newer_format_blocks_its_chain_no_longer_than_it_is_tried(
    shared: StorageOpener,
    database: Database,
    receivers: Receivers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "LEASE_MS", 300)
    monkeypatch.setattr(outbox, "RENEW_INTERVAL", 0.05)
    config = replace(CONFIG, callbacks=replace(CONFIG.callbacks, give_up_after=1))
    unblocked = receivers.block()
    async with shared.opened(config) as one:
        await complete_call(one.registry, 1)
        await receivers.attempted(1)
        _, ended, analyzed = await one.outbox.of("call-0001")
        place = "deliveries", "call-0001", ended.delivery_id
        await overwrite(database, str(NEWER.values[0]), *place)
        unblocked.set()
        assert (await receivers.event_ids(2))[1] == analyzed.event_id
        (record,) = await database.execute("LRANGE", database.key("unreadable"), 0, -1)
        assert record.startswith(ended.delivery_id)


async def test_a_delivery_whose_event_is_unknown_is_delivered_and_listed_last(
    shared: StorageOpener, database: Database, receivers: Receivers
) -> None:
    unblocked = receivers.block()
    async with shared.opened() as one:
        await complete_call(one.registry, 1)
        await receivers.attempted(1)
        _, ended, _ = await one.outbox.of("call-0001")
        key = database.key("deliveries", "call-0001")
        record: str = await database.execute("HGET", key, ended.delivery_id)
        new_event = record.replace('"event":"call_ended"', '"event":"call_scored"')
        await database.execute("HSET", key, ended.delivery_id, new_event)
        listed = [delivery.event for delivery in await one.outbox.of("call-0001")]
        assert listed == [CallbackEvent.CALL_STARTED, CallbackEvent.CALL_ANALYZED, "call_scored"]
        unblocked.set()
        assert await receivers.event_ids(3) == event_ids(1)


@pytest.mark.parametrize("value", [CUT_OFF, NOT_UTF_8, NEWER])
async def test_an_unreadable_outcome_is_an_error_for_requests_with_its_key(
    shared: StorageOpener, database: Database, value: str
) -> None:
    async with shared.opened() as one:

        async def create(call_id: str) -> Call:
            return call(1, call_id=call_id)

        await one.idempotency.run("key", "print", create)
        (key,) = await database.execute("KEYS", database.key("idempotency", "*"))
        await overwrite(database, value, key.removeprefix(database.key("")), "outcome")
        with pytest.raises(RecordUnreadable):
            await one.idempotency.run("key", "print", create)
        await one.idempotency.run("another key", "print", create)
