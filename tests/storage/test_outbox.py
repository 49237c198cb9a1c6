"""What every outbox must do; what it takes from answers is in tests/web/test_callbacks.py too."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gateway.callbacks.delivery import Delivery
from gateway.config.settings import CallbackSettings, Config
from gateway.storage.stores import StorageBackend
from tests.storage.conftest import (
    CONFIG,
    HOOK,
    START,
    STORY,
    Opener,
    Receivers,
    live_through,
    repeats,
    story_of,
)

OTHER = "https://two.example.com/hook"


def told(*urls: str, max_pending: int = 1000) -> Config:
    settings = CallbackSettings(urls=urls, give_up_after=60, max_pending=max_pending)
    return replace(CONFIG, callbacks=settings)


async def until(
    stores: StorageBackend, call_id: str, holds: Callable[[Sequence[Delivery]], bool]
) -> Sequence[Delivery]:
    """The call's deliveries, once that `holds` of them."""
    async with asyncio.timeout(20):
        while not holds(found := await stores.outbox.of(call_id)):
            await asyncio.sleep(0.01)
    return found


def settled(found: Sequence[Delivery]) -> bool:
    return not any(each.is_pending for each in found)


async def test_each_url_hears_a_call_in_its_order(opener: Opener, receivers: Receivers) -> None:
    async with opener.opened(told(HOOK, OTHER)) as stores:
        await asyncio.gather(*(live_through(stores.registry, number) for number in range(20)))
        for url in (HOOK, OTHER):
            heard = await receivers.heard_of(60, url)
            assert not repeats(heard)
            for number in range(20):
                of_call = [each for each in heard if f"call-{number:04}_" in each]
                assert of_call == story_of(number)


async def test_a_dead_receiver_holds_up_nobody_else(opener: Opener, receivers: Receivers) -> None:
    async with opener.opened(told(HOOK, OTHER)) as stores:
        alive = receivers.hang(OTHER)
        for number in (1, 2):
            await live_through(stores.registry, number)
        assert sorted(await receivers.heard_of(6)) == sorted(story_of(1, 2))
        waiting = await stores.outbox.of("call-0001")
        assert {each.url for each in waiting if each.is_pending} == {OTHER}
        alive.set()
        heard = await receivers.heard_of(6, OTHER)
        assert [each for each in heard if "0001" in each] == story_of(1)


async def test_repeated_until_it_is_taken(stores: StorageBackend, receivers: Receivers) -> None:
    receivers.answers.extend([503, None, 404])
    await live_through(stores.registry, 1)
    heard = await receivers.heard_of(6)
    assert heard == [story_of(1)[0]] * 3 + story_of(1)
    found = await until(stores, "call-0001", settled)
    assert [(each.attempts, each.status) for each in found] == [
        (4, "delivered"),
        (1, "delivered"),
        (1, "delivered"),
    ]


async def test_given_up_in_the_end_and_the_next_goes_on(
    opener: Opener, receivers: Receivers
) -> None:
    async with opener.opened() as stores:
        receivers.answers.extend([500] * 3)
        await live_through(stores.registry, 1)
        await receivers.heard_of(2)
        receivers.answers.extend([500] * 10_000)
        opener.now += 60_000
        await until(stores, "call-0001", lambda found: found[0].status == "failed")
        receivers.answers.clear()
        found = await until(stores, "call-0001", settled)
        assert found[0].status == "failed"
        assert found[0].last_error == "answered 500"


async def test_deliveries_are_listed_in_their_order(opener: Opener, receivers: Receivers) -> None:
    async with opener.opened() as stores:
        receivers.hang()
        await live_through(stores.registry, 1)
        found = await stores.outbox.of("call-0001")
        assert [each.event for each in found] == STORY
        assert [each.event_id for each in found] == story_of(1)
        assert {each.created_at for each in found} == {START}
        assert await stores.outbox.of("call-unknown") == []


async def test_a_delivery_is_retried_when_asked_to(
    stores: StorageBackend, receivers: Receivers
) -> None:
    receivers.answers.extend([410, 410, 410])
    await live_through(stores.registry, 1)
    failed = await until(stores, "call-0001", settled)
    assert [each.status for each in failed] == ["failed"] * 3
    retried = await stores.outbox.retry("call-0001", failed[1].delivery_id)
    assert retried
    assert retried.delivery_id == failed[1].delivery_id
    assert await receivers.heard_of(4) == [*story_of(1), story_of(1)[1]]
    found = await until(stores, "call-0001", settled)
    assert [each.status for each in found] == ["failed", "delivered", "failed"]
    assert found[1].attempts == 2
    assert await stores.outbox.retry("call-0001", "dlv_unknown") is None
    assert await stores.outbox.retry("call-unknown", failed[1].delivery_id) is None


async def test_what_waits_is_not_sent_twice_by_a_retry(
    stores: StorageBackend, receivers: Receivers
) -> None:
    alive = receivers.hang()
    await live_through(stores.registry, 1)
    waiting = await stores.outbox.of("call-0001")
    assert await stores.outbox.retry("call-0001", waiting[2].delivery_id)
    alive.set()
    assert await receivers.heard_of(3) == story_of(1)
    await until(stores, "call-0001", settled)
    assert receivers.heard == receivers.asked
    assert len(receivers.heard) == 3


async def test_forgotten_with_the_call(opener: Opener, receivers: Receivers) -> None:
    async with opener.opened() as stores:
        await live_through(stores.registry, 1)
        await until(stores, "call-0001", settled)
        await stores.outbox.forget(await stores.registry.prune(START + 10**6))
        assert await stores.outbox.of("call-0001") == []


async def test_what_still_waits_outlives_its_call(opener: Opener, receivers: Receivers) -> None:
    async with opener.opened(told(HOOK, OTHER)) as stores:
        alive = receivers.hang()
        await live_through(stores.registry, 1)
        await receivers.heard_of(3, OTHER)
        await stores.outbox.forget(await stores.registry.prune(START + 10**6))
        assert await stores.registry.get("call-0001") is None
        assert len(await stores.outbox.of("call-0001")) == 6
        alive.set()
        assert await receivers.heard_of(3) == story_of(1)
        async with asyncio.timeout(20):
            while await stores.outbox.of("call-0001"):
                await stores.outbox.forget([])
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_bounded_number_waits(opener: Opener, receivers: Receivers, limit: int) -> None:
    async with opener.opened(told(HOOK, max_pending=limit)) as stores:
        alive = receivers.hang()
        await live_through(stores.registry, 1)
        assert len(await stores.outbox.of("call-0001")) == limit
        alive.set()
        await until(stores, "call-0001", settled)
        await live_through(stores.registry, 2)  # there is room again, at first
        first, *_ = await stores.outbox.of("call-0002")
        assert first.event == STORY[0]
        await until(stores, "call-0002", settled)
        assert receivers.heard[limit] == (HOOK, story_of(2)[0])
