"""Ended calls wait for the history with their last change, whichever gateway dies meanwhile."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.calls.call import Event, EventKind
from gateway.config.settings import HistorySettings
from gateway.storage.backend import StorageBackend
from gateway.storage.memory import unsaved as memory_unsaved
from gateway.storage.redis import registry as redis_registry
from gateway.storage.redis import unsaved as redis_unsaved
from gateway.storage.unsaved import Claim
from tests.storage.conftest import CONFIG, START, Receivers, StorageOpener, call, complete_call

WITH_HISTORY = replace(CONFIG, history=HistorySettings())


@pytest.fixture
async def storage(opener: StorageOpener) -> AsyncIterator[StorageBackend]:
    async with opener.opened(WITH_HISTORY) as opened:
        yield opened


async def claim(storage: StorageBackend, limit: int = 10) -> Claim:
    return await storage.unsaved.claim(limit, settled_only=False)


def ids(claim: Claim) -> list[str]:
    return [item.call_id for item in claim.calls]


async def save_all(storage: StorageBackend) -> None:
    """All calls that have ended, once their callbacks are delivered."""
    while (claimed := await claim(storage)).waiting:
        await storage.unsaved.saved(claimed, ids(claimed))


async def is_stored(storage: StorageBackend, number: int) -> bool:
    return await storage.registry.get(f"call-{number:04}") is not None


async def test_an_ended_call_waits_until_it_is_saved(
    storage: StorageBackend, receivers: Receivers
) -> None:
    await storage.registry.add(call(1))
    assert ids(await claim(storage)) == []
    ended = await complete_call(storage.registry, 2)
    await receivers.event_ids(3)
    claimed = await claim(storage)
    (item,) = claimed.calls
    assert item.call == await storage.registry.get(ended.call_id)
    assert [delivery["event"] for delivery in item.deliveries] == [
        "call_started",
        "call_ended",
        "call_analyzed",
    ]
    assert (claimed.waiting, claimed.lost) == (1, 0)
    assert await storage.unsaved.waiting(10) == [item.call]
    await storage.unsaved.saved(claimed, ids(claimed))
    later = await claim(storage)
    assert (later.calls, later.waiting) == ([], 0)


async def test_a_call_that_has_just_changed_is_not_saved_yet(storage: StorageBackend) -> None:
    await complete_call(storage.registry, 1)
    claimed = await storage.unsaved.claim(10)
    assert (claimed.calls, claimed.waiting) == ([], 1)


async def test_a_change_during_the_save_is_saved_later(
    storage: StorageBackend, receivers: Receivers
) -> None:
    await complete_call(storage.registry, 1)
    await receivers.event_ids(3)
    claimed = await claim(storage)
    silence = Event(EventKind.AGENT_REPORT, START + 5, report={"transcript": []})
    await storage.registry.apply("call-0001", silence)
    await storage.unsaved.saved(claimed, ids(claimed))
    later = await claim(storage)
    assert ids(later) == ["call-0001"]
    assert later.calls[0].revision > claimed.calls[0].revision
    assert later.calls[0].call
    assert later.calls[0].call.report == {"transcript": []}


async def test_a_delivery_after_the_save_is_saved_too(
    storage: StorageBackend, receivers: Receivers
) -> None:
    answer = receivers.block()
    await complete_call(storage.registry, 1)
    await receivers.attempted(1)
    await save_all(storage)
    answer.set()
    await receivers.event_ids(3)
    later = await claim(storage)
    while not later.calls:
        later = await claim(storage)
    assert later.calls[0].deliveries[0]["status"] == "delivered"


async def test_an_unsaved_call_does_not_expire(
    opener: StorageOpener, storage: StorageBackend, receivers: Receivers
) -> None:
    for number in range(5):  # ended_max is 3
        await complete_call(storage.registry, number)
    opener.now += 10**7
    assert await storage.registry.prune(opener.now) == []
    await receivers.event_ids(15)
    await save_all(storage)
    while await is_stored(storage, 0) or await is_stored(storage, 4):
        await save_all(storage)
        await storage.registry.prune(opener.now)


async def test_what_waits_is_bounded_and_what_is_lost_is_counted(
    storage: StorageBackend, opener: StorageOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_unsaved, "MAX_UNSAVED", 2)
    monkeypatch.setattr(redis_registry, "MAX_UNSAVED", 2)
    for number in range(5):
        await complete_call(storage.registry, number)
    opener.now += 10**7
    await storage.registry.prune(opener.now)
    assert [await is_stored(storage, number) for number in range(5)] == [False] * 3 + [True] * 2
    claimed = await claim(storage)
    assert ids(claimed) == ["call-0003", "call-0004"]
    assert claimed.lost == 3


async def test_calls_are_deleted_with_all_that_is_about_them(
    storage: StorageBackend, receivers: Receivers
) -> None:
    await storage.registry.add(call(1))
    await complete_call(storage.registry, 2)
    await receivers.event_ids(3)
    await storage.delete(["call-0001", "call-0002", "call-x"])
    assert await storage.registry.get("call-0002") is None
    assert await storage.registry.find_by_call_sid("sid-2") is None
    assert await storage.outbox.of("call-0002") == []
    assert await storage.registry.get("call-0001") is not None
    assert ids(await claim(storage)) == []
    listener = aiter(await storage.feed.listen(""))
    await storage.registry.apply("call-0001", Event(EventKind.ANSWERED, START))
    assert "call-0001" in (await anext(listener)).text


async def test_pending_callbacks_of_a_deleted_call_are_not_sent(
    storage: StorageBackend, receivers: Receivers
) -> None:
    answer = receivers.block()
    await complete_call(storage.registry, 1)
    await receivers.attempted(1)
    await storage.delete(["call-0001"])
    answer.set()
    await complete_call(storage.registry, 2)
    await receivers.event_ids(4)
    of_the_deleted = [it for _, it in receivers.responded if "call-0001" in it]
    assert len(of_the_deleted) == 1  # it was on its way


async def test_without_a_history_nothing_waits(opener: StorageOpener) -> None:
    async with opener.opened(CONFIG) as storage:
        await complete_call(storage.registry, 1)
        assert (await claim(storage)).waiting == 0


async def test_what_waited_for_a_history_expires_without_one(
    shared: StorageOpener, receivers: Receivers
) -> None:
    async with shared.opened(WITH_HISTORY) as storage:
        await complete_call(storage.registry, 1)
        await receivers.event_ids(3)
    shared.now += 10**7
    async with shared.opened(CONFIG) as storage:
        await storage.registry.prune(shared.now)
        assert not await is_stored(storage, 1)


async def test_what_a_killed_gateway_has_claimed_another_one_saves(
    shared: StorageOpener, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_unsaved, "LEASE_MS", 300)
    async with (
        shared.opened(WITH_HISTORY) as killed,
        shared.opened(WITH_HISTORY) as other,
    ):
        await complete_call(killed.registry, 1)
        await receivers.event_ids(3)
        first = await claim(killed)
        assert ids(first) == ["call-0001"]
        await shared.kill(killed)
        assert (await other.unsaved.claim(10)).calls == []
        claimed = await other.unsaved.claim(10)
        while not claimed.calls:
            claimed = await other.unsaved.claim(10)
        assert ids(claimed) == ["call-0001"]
        # Though it was only slow: it does not end the claim of the other one.
        await killed.unsaved.saved(first, ids(first))
        await other.unsaved.release(claimed)
        assert ids(await other.unsaved.claim(10)) == ["call-0001"]
