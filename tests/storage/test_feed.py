"""What every feed of live events must do."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.storage.feed import Feed, FeedEntry
from gateway.storage.memory import feed as memory_feed
from gateway.storage.registry import CallRegistry
from gateway.storage.stores import StorageBackend
from tests.storage.conftest import Opener, call, live_through


def said(news: FeedEntry) -> tuple[str, str]:
    content = json.loads(news.text)
    return content["call"]["call_id"], content["event"]


async def some(listening: AsyncIterator[FeedEntry], number: int) -> list[FeedEntry]:
    async with asyncio.timeout(10):
        return [await anext(listening) for _ in range(number)]


async def first_heard(feed: Feed, happens: Callable[[int], object]) -> FeedEntry:
    """The first that a listener hears who did not hear of anything before."""
    first = asyncio.ensure_future(anext(aiter(feed.listen(""))))
    async with asyncio.timeout(10):
        number = 1000
        while not first.done():
            await happens(number)  # type: ignore[misc]
            number += 1
            await asyncio.sleep(0.02)
    return first.result()


async def mark(registry: CallRegistry, feed: Feed) -> str:
    """The id of what happened last."""
    heard = await first_heard(feed, lambda number: registry.add(call(number)))
    last = heard.id
    listening = aiter(feed.listen(last))
    await registry.add(call(9999))
    async for news in listening:
        last = news.id
        if said(news)[0] == "call-9999":
            break
    return last


async def test_what_happens_is_heard_in_order(stores: StorageBackend) -> None:
    since = await mark(stores.registry, stores.feed)
    await live_through(stores.registry, 1)
    heard = await some(aiter(stores.feed.listen(since)), 4)
    assert [said(news) for news in heard] == [
        ("call-0001", "call_registered"),
        ("call-0001", "call_ongoing"),
        ("call-0001", "call_ended"),
        ("call-0001", "call_analyzed"),
    ]


async def test_several_hear_the_same(stores: StorageBackend) -> None:
    since = await mark(stores.registry, stores.feed)
    listeners = [aiter(stores.feed.listen(since)) for _ in range(3)]
    waiting = [asyncio.ensure_future(some(each, 4)) for each in listeners]
    await live_through(stores.registry, 1)
    first, *others = await asyncio.gather(*waiting)
    assert others == [first, first]


async def test_what_was_missed_for_a_moment_is_made_up_for(stores: StorageBackend) -> None:
    since = await mark(stores.registry, stores.feed)
    await live_through(stores.registry, 1)
    before = await some(aiter(stores.feed.listen(since)), 2)
    again = await some(aiter(stores.feed.listen(before[1].id)), 2)
    assert [said(news)[1] for news in again] == ["call_ended", "call_analyzed"]


@pytest.mark.parametrize(
    "stale", ["1-1", "x", "1", "-", "99999999999999999999999-1", "-1-1", "1-18446744073709551616"]
)
async def test_whoever_missed_more_is_told_so(stores: StorageBackend, stale: str) -> None:
    await mark(stores.registry, stores.feed)
    listening = aiter(stores.feed.listen(stale))
    (missed,) = await some(listening, 1)
    assert missed.text == ""
    await stores.registry.add(call(1))
    (news,) = await some(listening, 1)
    assert said(news) == ("call-0001", "call_registered")
    assert await some(aiter(stores.feed.listen(missed.id)), 1) == [news]


async def test_a_change_that_nobody_would_see_is_no_news(stores: StorageBackend) -> None:
    since = await mark(stores.registry, stores.feed)
    await live_through(stores.registry, 1)
    await stores.registry.prune(10**15)
    await stores.registry.add(call(2))
    heard = await some(aiter(stores.feed.listen(since)), 5)
    assert all(news.text for news in heard)


async def test_memory_keeps_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_feed, "KEPT", 3)
    async with Opener("", receivers=None).opened() as stores:  # type: ignore[arg-type]
        since = await mark(stores.registry, stores.feed)
        for number in range(1, 6):
            await stores.registry.add(call(number))
        missed, *rest = await some(aiter(stores.feed.listen(since)), 1)
        assert (missed.text, rest) == ("", [])
