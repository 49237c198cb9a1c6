"""What is told while the registry is away: in order, and what fails holds up no other."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.calls.call import Call, Change, Direction, Event, EventKind
from gateway.config.settings import StorageSettings
from gateway.errors import StorageUnavailable
from gateway.lifecycle import deferred as module
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.storage.memory.registry import MemoryRegistry


class Away:
    """Deeds that are noted, while Redis is not away."""

    def __init__(self) -> None:
        self.away = True
        self.done: list[int] = []

    def write(self, number: int) -> Callable[[], Awaitable[object]]:
        async def do() -> None:
            if self.away:
                raise StorageUnavailable("away")
            if number < 0:
                raise KeyError(number)
            self.done.append(number)

        return do


async def test_in_order_though_it_is_back_in_between() -> None:
    redis, deferred = Away(), DeferredWrites()
    await deferred.write("call-1", redis.write(1))
    redis.away = False
    await deferred.write("call-1", redis.write(2))
    assert redis.done == []
    await deferred.replay()
    await deferred.write("call-1", redis.write(3))
    assert redis.done == [1, 2, 3]


async def test_one_that_fails_holds_up_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    redis, deferred = Away(), DeferredWrites()
    for number in (1, -1, 2):
        await deferred.write("call-1", redis.write(number))
    await deferred.replay()
    assert len(deferred) == 3
    redis.away = False
    await deferred.replay()
    assert redis.done == [1, 2]
    assert "storage.replay_failed" in capsys.readouterr().out


async def test_a_bounded_number_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 2)
    redis, deferred = Away(), DeferredWrites()
    for number in (1, 2, 3):
        await deferred.write(f"call-{number}", redis.write(number))
    redis.away = False
    await deferred.replay()
    assert redis.done == [1, 2]


async def test_calls_are_made_up_for_at_once_each_in_its_order() -> None:
    """One after the other, they would be behind for ever where more happens than is done."""
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
    catching_up = asyncio.create_task(deferred.replay())
    async with asyncio.timeout(5):
        while len(done) < 2:
            await asyncio.sleep(0)
        await deferred.write("call-2", write("2c"))
        assert done == ["2a", "2b"]
        go_on.set()
        await catching_up
    assert done == ["2a", "2b", "1a", "1b", "2c"]
    assert not deferred


class Forgetful(MemoryRegistry):
    """Its first answer to a change is lost, the change is not."""

    lost = False

    async def apply(self, call_id: str, event: Event) -> Change | None:
        change = await super().apply(call_id, event)
        if not self.lost:
            self.lost = True
            raise StorageUnavailable("no answer in time")
        return change


class Rooms:
    def __init__(self) -> None:
        self.doomed: list[str] = []

    def schedule(self, room: str, *, grace_ms: int) -> None:
        self.doomed.append(room)


async def test_the_room_goes_though_the_answer_to_the_end_was_lost() -> None:
    registry, rooms, deferred = (
        Forgetful(StorageSettings(), since=0),
        Rooms(),
        DeferredWrites(),
    )
    lifecycle = Lifecycle(registry, rooms, deferred)  # type: ignore[arg-type]
    await registry.add(Call("call-1", Direction.INBOUND, "agent", 0))
    assert await lifecycle.apply("call-1", Event(EventKind.AGENT_FAILED, 1)) is None
    await deferred.replay()
    assert rooms.doomed == ["call-1"]
    await lifecycle.apply("call-1", Event(EventKind.LEG_STATUS, 2))
    assert rooms.doomed == ["call-1"]
