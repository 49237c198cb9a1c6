"""What is told while the registry is away: in order, and what fails holds up no other."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.calls.call import Call, Change, Direction, Event, EventKind
from gateway.config.settings import RegistrySettings
from gateway.errors import RegistryUnavailable
from gateway.lifecycle import deferred as module
from gateway.lifecycle.deferred import Backlog
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.storage.memory.registry import MemoryRegistry


class Away:
    """Deeds that are noted, while Redis is not away."""

    def __init__(self) -> None:
        self.away = True
        self.done: list[int] = []

    def deed(self, number: int) -> Callable[[], Awaitable[object]]:
        async def do() -> None:
            if self.away:
                raise RegistryUnavailable("away")
            if number < 0:
                raise KeyError(number)
            self.done.append(number)

        return do


async def test_in_order_though_it_is_back_in_between() -> None:
    redis, backlog = Away(), Backlog()
    await backlog.do("call-1", redis.deed(1))
    redis.away = False
    await backlog.do("call-1", redis.deed(2))
    assert redis.done == []
    await backlog.catch_up()
    await backlog.do("call-1", redis.deed(3))
    assert redis.done == [1, 2, 3]


async def test_one_that_fails_holds_up_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    redis, backlog = Away(), Backlog()
    for number in (1, -1, 2):
        await backlog.do("call-1", redis.deed(number))
    await backlog.catch_up()
    assert len(backlog) == 3
    redis.away = False
    await backlog.catch_up()
    assert redis.done == [1, 2]
    assert "registry.deed_failed" in capsys.readouterr().out


async def test_a_bounded_number_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 2)
    redis, backlog = Away(), Backlog()
    for number in (1, 2, 3):
        await backlog.do(f"call-{number}", redis.deed(number))
    redis.away = False
    await backlog.catch_up()
    assert redis.done == [1, 2]


async def test_calls_are_made_up_for_at_once_each_in_its_order() -> None:
    """One after the other, they would be behind for ever where more happens than is done."""
    backlog, done, go_on = Backlog(), list[str](), asyncio.Event()

    def deed(name: str, *, waits: bool = False) -> Callable[[], Awaitable[object]]:
        async def do() -> None:
            if waits:
                await go_on.wait()
            done.append(name)

        return do

    backlog.later("call-1", deed("1a", waits=True))
    backlog.later("call-1", deed("1b"))
    backlog.later("call-2", deed("2a"))
    backlog.later("call-2", deed("2b"))
    catching_up = asyncio.create_task(backlog.catch_up())
    async with asyncio.timeout(5):
        while len(done) < 2:
            await asyncio.sleep(0)
        await backlog.do("call-2", deed("2c"))
        assert done == ["2a", "2b"]
        go_on.set()
        await catching_up
    assert done == ["2a", "2b", "1a", "1b", "2c"]
    assert not backlog


class Forgetful(MemoryRegistry):
    """Its first answer to a change is lost, the change is not."""

    lost = False

    async def apply(self, call_id: str, event: Event) -> Change | None:
        change = await super().apply(call_id, event)
        if not self.lost:
            self.lost = True
            raise RegistryUnavailable("no answer in time")
        return change


class Rooms:
    def __init__(self) -> None:
        self.doomed: list[str] = []

    def doom(self, room: str, *, grace_ms: int) -> None:
        self.doomed.append(room)


async def test_the_room_goes_though_the_answer_to_the_end_was_lost() -> None:
    registry, rooms, backlog = Forgetful(RegistrySettings(), since=0), Rooms(), Backlog()
    lifecycle = Lifecycle(registry, rooms, backlog)  # type: ignore[arg-type]
    await registry.add(Call("call-1", Direction.INBOUND, "agent", 0))
    assert await lifecycle.apply("call-1", Event(EventKind.AGENT_FAILED, 1)) is None
    await backlog.catch_up()
    assert rooms.doomed == ["call-1"]
    await lifecycle.apply("call-1", Event(EventKind.LEG_STATUS, 2))
    assert rooms.doomed == ["call-1"]
