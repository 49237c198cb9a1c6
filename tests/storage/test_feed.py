"""What every live feed must do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.calls.call import Event, EventKind
from gateway.storage.backend import StorageBackend
from gateway.storage.feed import Feed, FeedEntry
from gateway.storage.memory import feed as memory_feed
from gateway.storage.registry import CallRegistry
from tests.storage.conftest import START, Receivers, StorageOpener, call, complete_call


def content(entry: FeedEntry) -> tuple[str, str]:
    """The entry's call id and event."""
    decoded = json.loads(entry.text)
    return decoded["call"]["call_id"], decoded["event"]


def reason(entry: FeedEntry) -> str:
    """Why the entry's call has ended."""
    return str(json.loads(entry.text)["call"]["disconnection_reason"])


async def take(entries: AsyncIterator[FeedEntry], number: int) -> list[FeedEntry]:
    async with asyncio.timeout(10):
        return [await anext(entries) for _ in range(number)]


async def first_entry(feed: Feed, make_change: Callable[[int], object]) -> FeedEntry:
    """The first entry that a new listener gets, with changes made until it gets one."""
    entry = asyncio.ensure_future(anext(await feed.listen("")))
    async with asyncio.timeout(10):
        number = 1000
        while not entry.done():
            await make_change(number)  # type: ignore[misc]  # it is a coroutine function
            number += 1
            await asyncio.sleep(0.02)
    return entry.result()


async def last_entry_id(registry: CallRegistry, feed: Feed) -> str:
    """The id of the feed's last entry; there are some before it."""
    first = await first_entry(feed, lambda number: registry.add(call(number)))
    await registry.add(call(9999))
    entry = first
    async with asyncio.timeout(10):
        async for entry in await feed.listen(first.id):
            if content(entry)[0] == "call-9999":
                break
    return entry.id


async def test_changes_of_a_call_are_published_in_order(storage: StorageBackend) -> None:
    last_id = await last_entry_id(storage.registry, storage.feed)
    await complete_call(storage.registry, 1)
    entries = await take(await storage.feed.listen(last_id), 4)
    assert [content(entry) for entry in entries] == [
        ("call-0001", "call_registered"),
        ("call-0001", "call_ongoing"),
        ("call-0001", "call_ended"),
        ("call-0001", "call_analyzed"),
    ]


async def test_all_listeners_get_the_same_entries(storage: StorageBackend) -> None:
    last_id = await last_entry_id(storage.registry, storage.feed)
    listeners = [await storage.feed.listen(last_id) for _ in range(3)]
    taken = [asyncio.ensure_future(take(listener, 4)) for listener in listeners]
    await complete_call(storage.registry, 1)
    first, *others = await asyncio.gather(*taken)
    assert others == [first, first]


async def test_a_listener_that_reconnects_gets_what_it_missed(storage: StorageBackend) -> None:
    last_id = await last_entry_id(storage.registry, storage.feed)
    await complete_call(storage.registry, 1)
    entries = await take(await storage.feed.listen(last_id), 2)
    replayed = await take(await storage.feed.listen(entries[1].id), 2)
    assert [content(entry)[1] for entry in replayed] == ["call_ended", "call_analyzed"]


@pytest.mark.parametrize(
    "unknown_id",
    [
        "1-1",
        "x",
        "1",
        "-",
        "99999999999999999999999-1",
        "-1-1",
        "1-18446744073709551616",
        "1700000000000-" + "9" * 5000,
    ],
)
async def test_a_listener_with_an_unknown_id_is_told_that_entries_are_missing(
    storage: StorageBackend, unknown_id: str
) -> None:
    await last_entry_id(storage.registry, storage.feed)
    listener = await storage.feed.listen(unknown_id)
    (missing,) = await take(listener, 1)
    assert missing.text == ""
    await storage.registry.add(call(1))
    (entry,) = await take(listener, 1)
    assert content(entry) == ("call-0001", "call_registered")
    assert await take(await storage.feed.listen(missing.id), 1) == [entry]


async def test_changes_that_no_client_would_see_are_not_published(storage: StorageBackend) -> None:
    last_id = await last_entry_id(storage.registry, storage.feed)
    await complete_call(storage.registry, 1)
    await storage.registry.prune(10**15)
    await storage.registry.add(call(2))
    entries = await take(await storage.feed.listen(last_id), 5)
    assert all(entry.text for entry in entries)


async def test_an_end_that_the_agent_corrects_is_told_with_its_report(
    storage: StorageBackend,
) -> None:
    last_id = await last_entry_id(storage.registry, storage.feed)
    await storage.registry.add(call(1))
    for kind in (EventKind.ANSWERED, EventKind.ROOM_FINISHED, EventKind.AGENT_FAILED):
        await storage.registry.apply("call-0001", Event(kind, START + 1))
    report = Event(EventKind.AGENT_REPORT, START + 2, report={"transcript": []})
    await storage.registry.apply("call-0001", report)
    entries = await take(await storage.feed.listen(last_id), 4)
    assert [(content(entry)[1], reason(entry)) for entry in entries[2:]] == [
        ("call_ended", "agent_hangup"),
        ("call_analyzed", "agent_error"),
    ]


async def test_memory_stores_a_bounded_number_of_entries(
    monkeypatch: pytest.MonkeyPatch, receivers: Receivers
) -> None:
    monkeypatch.setattr(memory_feed, "MAX_ENTRIES", 3)
    async with StorageOpener("", receivers).opened() as storage:
        last_id = await last_entry_id(storage.registry, storage.feed)
        for number in range(1, 6):
            await storage.registry.add(call(number))
        (missing,) = await take(await storage.feed.listen(last_id), 1)
        assert missing.text == ""
