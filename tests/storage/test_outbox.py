"""What every outbox must do; tests/callbacks has what receivers get over HTTP."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.callbacks.delivery import Delivery
from gateway.config.settings import CallbackSettings, Config
from gateway.storage.backend import StorageBackend
from tests.storage.conftest import (
    CONFIG,
    EVENTS,
    HOOK,
    START,
    Receivers,
    StorageOpener,
    complete_call,
    event_ids,
    repeated,
)

OTHER_HOOK = "https://two.example.com/hook"
SAME_HOST = "https://one.example.com/of-one-call"


def with_receivers(*urls: str, max_pending: int = 1000) -> Config:
    settings = CallbackSettings(urls=urls, give_up_after=60, max_pending=max_pending)
    return replace(CONFIG, callbacks=settings)


async def wait_until(
    storage: StorageBackend, call_id: str, condition: Callable[[Sequence[Delivery]], bool]
) -> Sequence[Delivery]:
    """The call's deliveries, once they satisfy `condition`."""
    async with asyncio.timeout(20):
        while not condition(deliveries := await storage.outbox.of(call_id)):
            await asyncio.sleep(0.01)
    return deliveries


def none_pending(deliveries: Sequence[Delivery]) -> bool:
    return not any(delivery.is_pending for delivery in deliveries)


async def test_each_url_receives_the_callbacks_of_a_call_in_order(
    opener: StorageOpener, receivers: Receivers
) -> None:
    async with opener.opened(with_receivers(HOOK, OTHER_HOOK)) as storage:
        await asyncio.gather(*(complete_call(storage.registry, number) for number in range(20)))
        for url in (HOOK, OTHER_HOOK):
            received = await receivers.event_ids(60, url)
            assert not repeated(received)
            for number in range(20):
                of_call = [event_id for event_id in received if f"call-{number:04}_" in event_id]
                assert of_call == event_ids(number)


async def test_a_receiver_that_does_not_respond_delays_no_other(
    opener: StorageOpener, receivers: Receivers
) -> None:
    async with opener.opened(with_receivers(HOOK, OTHER_HOOK)) as storage:
        unblocked = receivers.block(OTHER_HOOK)
        for number in (1, 2):
            await complete_call(storage.registry, number)
        assert sorted(await receivers.event_ids(6)) == sorted(event_ids(1, 2))
        deliveries = await storage.outbox.of("call-0001")
        assert {item.url for item in deliveries if item.is_pending} == {OTHER_HOOK}
        unblocked.set()
        received = await receivers.event_ids(6, OTHER_HOOK)
        assert [event_id for event_id in received if "0001" in event_id] == event_ids(1)


async def test_a_delivery_is_repeated_until_it_is_accepted(
    storage: StorageBackend, receivers: Receivers
) -> None:
    receivers.statuses.extend([503, None, 404])
    await complete_call(storage.registry, 1)
    received = await receivers.event_ids(6)
    assert received == [event_ids(1)[0]] * 3 + event_ids(1)
    deliveries = await wait_until(storage, "call-0001", none_pending)
    assert [(delivery.attempts, delivery.status) for delivery in deliveries] == [
        (4, "delivered"),
        (1, "delivered"),
        (1, "delivered"),
    ]


async def test_the_next_delivery_follows_one_that_has_failed(
    opener: StorageOpener, receivers: Receivers
) -> None:
    async with opener.opened() as storage:
        receivers.statuses.extend([500] * 3)
        await complete_call(storage.registry, 1)
        await receivers.event_ids(2)
        receivers.statuses.extend([500] * 10_000)
        opener.now += 60_000
        await wait_until(storage, "call-0001", lambda found: found[0].status == "failed")
        receivers.statuses.clear()
        deliveries = await wait_until(storage, "call-0001", none_pending)
        assert deliveries[0].status == "failed"
        assert deliveries[0].last_error == "answered 500"


@pytest.mark.field("D8")
async def test_an_exception_in_sending_is_an_attempt_that_has_failed(
    storage: StorageBackend, receivers: Receivers, capsys: pytest.CaptureFixture[str]
) -> None:
    """It neither ends the chain nor keeps the callback from being tried again."""
    receivers.errors.extend([AssertionError("?signature=x"), KeyError("url"), RuntimeError()])
    await complete_call(storage.registry, 1)
    assert await receivers.event_ids(3) == event_ids(1)
    first, *_ = await wait_until(storage, "call-0001", none_pending)
    assert (first.attempts, first.status) == (4, "delivered")
    output = capsys.readouterr().out
    assert output.count("callback.crashed") == 3
    assert "signature" not in output


@pytest.mark.field("D8")
async def test_a_defect_fails_one_delivery_and_the_next_one_follows(
    storage: StorageBackend, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_attempt = Delivery.record_attempt

    def record_or_crash(delivery: Delivery, *arguments: Any, **options: Any) -> None:
        if delivery.event_id == event_ids(1)[0]:
            raise KeyError
        record_attempt(delivery, *arguments, **options)

    monkeypatch.setattr(Delivery, "record_attempt", record_or_crash)
    await complete_call(storage.registry, 1)
    assert await receivers.event_ids(3) == event_ids(1)
    deliveries = await wait_until(storage, "call-0001", none_pending)
    assert [item.status for item in deliveries] == ["failed", "delivered", "delivered"]
    assert deliveries[0].last_error == "the gateway has a defect: KeyError"
    monkeypatch.undo()
    assert await storage.outbox.retry("call-0001", deliveries[0].delivery_id)
    assert (await receivers.event_ids(4))[3] == event_ids(1)[0]


async def test_deliveries_are_listed_in_the_order_of_their_events(
    opener: StorageOpener, receivers: Receivers
) -> None:
    async with opener.opened() as storage:
        receivers.block()
        await complete_call(storage.registry, 1)
        deliveries = await storage.outbox.of("call-0001")
        assert [delivery.event for delivery in deliveries] == EVENTS
        assert [delivery.event_id for delivery in deliveries] == event_ids(1)
        assert {delivery.created_at for delivery in deliveries} == {START}
        assert await storage.outbox.of("call-unknown") == []


async def test_a_failed_delivery_is_retried_on_request(
    storage: StorageBackend, receivers: Receivers
) -> None:
    receivers.statuses.extend([410, 410, 410])
    await complete_call(storage.registry, 1)
    failed = await wait_until(storage, "call-0001", none_pending)
    assert [delivery.status for delivery in failed] == ["failed"] * 3
    retried = await storage.outbox.retry("call-0001", failed[1].delivery_id)
    assert retried
    assert retried.delivery_id == failed[1].delivery_id
    assert await receivers.event_ids(4) == [*event_ids(1), event_ids(1)[1]]
    deliveries = await wait_until(storage, "call-0001", none_pending)
    assert [delivery.status for delivery in deliveries] == ["failed", "delivered", "failed"]
    assert deliveries[1].attempts == 2
    assert await storage.outbox.retry("call-0001", "dlv_unknown") is None
    assert await storage.outbox.retry("call-unknown", failed[1].delivery_id) is None


async def test_a_retry_of_a_pending_delivery_does_not_send_it_twice(
    storage: StorageBackend, receivers: Receivers
) -> None:
    unblocked = receivers.block()
    await complete_call(storage.registry, 1)
    pending = await storage.outbox.of("call-0001")
    assert await storage.outbox.retry("call-0001", pending[2].delivery_id)
    unblocked.set()
    assert await receivers.event_ids(3) == event_ids(1)
    await wait_until(storage, "call-0001", none_pending)
    assert receivers.responded == receivers.attempts
    assert len(receivers.responded) == 3


async def test_deliveries_are_dropped_with_their_call(opener: StorageOpener) -> None:
    async with opener.opened() as storage:
        await complete_call(storage.registry, 1)
        await wait_until(storage, "call-0001", none_pending)
        await storage.outbox.forget(await storage.registry.prune(START + 10**6))
        assert await storage.outbox.of("call-0001") == []


async def test_a_pending_delivery_outlives_its_call(
    opener: StorageOpener, receivers: Receivers
) -> None:
    async with opener.opened(with_receivers(HOOK, OTHER_HOOK)) as storage:
        unblocked = receivers.block()
        await complete_call(storage.registry, 1)
        await receivers.event_ids(3, OTHER_HOOK)
        await storage.outbox.forget(await storage.registry.prune(START + 10**6))
        assert await storage.registry.get("call-0001") is None
        assert len(await storage.outbox.of("call-0001")) == 6
        unblocked.set()
        assert await receivers.event_ids(3) == event_ids(1)
        async with asyncio.timeout(20):
            while await storage.outbox.of("call-0001"):
                await storage.outbox.forget([])
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (2, 1), (4, 2)])
async def test_the_number_of_pending_deliveries_is_bounded(
    opener: StorageOpener, receivers: Receivers, limit: int, expected: int
) -> None:
    async with opener.opened(with_receivers(HOOK, max_pending=limit)) as storage:
        unblocked = receivers.block()
        await complete_call(storage.registry, 1)
        assert len(await storage.outbox.of("call-0001")) == expected
        unblocked.set()
        await wait_until(storage, "call-0001", none_pending)
        await complete_call(storage.registry, 2)  # its first delivery finds room again
        first, *_ = await storage.outbox.of("call-0002")
        assert first.event == EVENTS[0]
        await wait_until(storage, "call-0002", none_pending)
        assert receivers.responded[expected] == (HOOK, event_ids(2)[0])


@pytest.mark.field("E1")
async def test_how_many_are_pending_is_known(opener: StorageOpener, receivers: Receivers) -> None:
    config = with_receivers(HOOK, OTHER_HOOK)
    async with opener.opened(config) as storage:
        assert await storage.outbox.pending() == 0
        unblocked = receivers.block(HOOK)
        await complete_call(storage.registry, 1)
        await receivers.event_ids(3, OTHER_HOOK)
        async with asyncio.timeout(20):
            while await storage.outbox.pending() != 3:
                await asyncio.sleep(0.01)
        unblocked.set()
        await wait_until(storage, "call-0001", none_pending)
        async with asyncio.timeout(20):
            while await storage.outbox.pending():
                await asyncio.sleep(0.01)


async def test_a_dead_host_leaves_half_of_what_may_be_pending(
    opener: StorageOpener, receivers: Receivers
) -> None:
    """However many URLs it has; what it had is free again once it responds."""
    config = with_receivers(HOOK, SAME_HOST, OTHER_HOOK, max_pending=20)
    async with opener.opened(config) as storage:
        unblocked = [receivers.block(url) for url in (HOOK, SAME_HOST)]
        for number in range(1, 9):
            await complete_call(storage.registry, number)
            await receivers.event_ids(3 * number, OTHER_HOOK)
        assert await receivers.event_ids(24, OTHER_HOOK) == event_ids(*range(1, 9))
        stored = [
            item for number in range(1, 9) for item in await storage.outbox.of(f"call-{number:04}")
        ]
        assert sum(item.is_pending for item in stored) == 10
        for event in unblocked:
            event.set()
        for number in range(1, 9):
            await wait_until(storage, f"call-{number:04}", none_pending)
        await complete_call(storage.registry, 9)
        assert len(await storage.outbox.of("call-0009")) == 9
        await wait_until(storage, "call-0009", none_pending)
