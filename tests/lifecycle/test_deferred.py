"""Deferred writes: replayed in order, and one that fails does not block the others."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.calls.change import Change
from gateway.config.settings import StorageSettings
from gateway.errors import StorageUnavailable
from gateway.lifecycle import deferred as module
from gateway.lifecycle.call_metrics import new_metrics
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.storage.memory.registry import MemoryRegistry


class Storage:
    """Its writes succeed while it is available."""

    def __init__(self) -> None:
        self.available = False
        self.done: list[int] = []

    def write(self, number: int) -> Callable[[], Awaitable[object]]:
        async def do() -> None:
            if not self.available:
                raise StorageUnavailable("no answer")
            if number < 0:
                raise KeyError(number)
            self.done.append(number)

        return do


async def test_writes_stay_in_order_when_storage_answers_again_in_between() -> None:
    storage, deferred = Storage(), DeferredWrites()
    await deferred.write("call-1", storage.write(1))
    storage.available = True
    await deferred.write("call-1", storage.write(2))
    assert storage.done == []
    await deferred.replay()
    await deferred.write("call-1", storage.write(3))
    assert storage.done == [1, 2, 3]


async def test_a_write_that_fails_does_not_block_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage, deferred = Storage(), DeferredWrites()
    for number in (1, -1, 2):
        await deferred.write("call-1", storage.write(number))
    await deferred.replay()
    assert len(deferred) == 3
    storage.available = True
    await deferred.replay()
    assert storage.done == [1, 2]
    assert "storage.replay_failed" in capsys.readouterr().out


async def test_the_number_of_queued_writes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WRITES", 2)
    storage, deferred = Storage(), DeferredWrites()
    for number in (1, 2, 3):
        await deferred.write(f"call-{number}", storage.write(number))
    storage.available = True
    await deferred.replay()
    assert storage.done == [1, 2]


async def test_calls_are_replayed_concurrently_each_in_its_order() -> None:
    """One by one, replaying would never finish where writes are queued faster than replayed."""
    deferred, done, go_on = DeferredWrites(), list[str](), asyncio.Event()

    def write(name: str, *, waits: bool = False) -> Callable[[], Awaitable[object]]:
        async def do() -> None:
            if waits:
                await go_on.wait()
            done.append(name)

        return do

    deferred.defer("call-1", write("1a", waits=True))
    deferred.defer("call-1", write("1b"))
    deferred.defer("call-2", write("2a"))
    deferred.defer("call-2", write("2b"))
    replaying = asyncio.create_task(deferred.replay())
    async with asyncio.timeout(5):
        while len(done) < 2:
            await asyncio.sleep(0)
        await deferred.write("call-2", write("2c"))
        assert done == ["2a", "2b", "2c"]  # it has nothing to wait for
        go_on.set()
        await replaying
    assert done == ["2a", "2b", "2c", "1a", "1b"]
    assert not deferred


async def test_only_writes_of_queued_keys_wait_once_storage_answers() -> None:
    storage, deferred = Storage(), DeferredWrites()
    await deferred.write("call-1", storage.write(1))
    await deferred.write("call-2", storage.write(2))
    assert len(deferred) == 2
    assert "call-1" in deferred
    storage.available, waits = True, asyncio.Event()

    async def wait() -> None:
        await waits.wait()

    deferred.defer("call-3", wait)
    replaying = asyncio.create_task(deferred.replay())
    async with asyncio.timeout(5):
        while len(storage.done) < 2:
            await asyncio.sleep(0)
        await deferred.write("call-4", storage.write(4))
        await deferred.write("call-3", storage.write(3))
        assert storage.done == [1, 2, 4]
        waits.set()
        await replaying
    assert storage.done == [1, 2, 4, 3]
    assert not deferred


class LossyRegistry(MemoryRegistry):
    """Its first change is stored, but the response is lost."""

    lost = False

    async def apply(self, call_id: str, event: Event, *, change_id: str = "") -> Change | None:
        change = await super().apply(call_id, event)
        if not self.lost:
            self.lost = True
            raise StorageUnavailable("no answer in time")
        return change


class Cleanup:
    def __init__(self) -> None:
        self.scheduled: list[str] = []

    def schedule(self, room: str, *, grace_ms: int) -> None:
        self.scheduled.append(room)


async def test_the_room_is_deleted_if_the_response_to_the_end_was_lost() -> None:
    registry, cleanup, deferred = (
        LossyRegistry(StorageSettings(), since=0),
        Cleanup(),
        DeferredWrites(),
    )
    lifecycle = Lifecycle(registry, cleanup, deferred, new_metrics())  # type: ignore[arg-type]
    await registry.add(Call("call-1", Direction.INBOUND, "agent", 0))
    assert await lifecycle.apply("call-1", Event(EventKind.AGENT_FAILED, 1)) is None
    await deferred.replay()
    assert cleanup.scheduled == ["call-1"]
    await lifecycle.apply("call-1", Event(EventKind.LEG_STATUS, 2))
    assert cleanup.scheduled == ["call-1"]
