"""The leader lock, and the time that gateways share with it."""

import asyncio

import pytest

from gateway.clock import Clock
from gateway.storage.redis import leader as module
from gateway.storage.redis.database import Database
from gateway.storage.redis.leader import RedisLeaderLock
from tests.storage.conftest import START, StorageOpener

HOUR = 3_600_000


def lock(database: Database, name: str, now: int) -> tuple[RedisLeaderLock, Clock]:
    """The lock and the clock of a gateway whose system's time was `now` when it started."""
    gateway = Database(database._client, "", timeout=1.0)
    gateway._prefix, gateway.gateway_id = database._prefix, name
    clock = Clock(lambda: now * 1_000_000, lambda: 0)
    return RedisLeaderLock(gateway, interval=0.05, clock=clock), clock


@pytest.mark.field("D5")
@pytest.mark.parametrize("step", [HOUR, -HOUR // 6])
async def test_a_gateway_that_starts_after_a_step_takes_the_leaders_time(
    database: Database, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    leader, _ = lock(database, "leader", START)
    other, clock = lock(database, "other", START + step)
    assert await leader.acquire()
    for _ in range(2):
        assert not await other.acquire()
        assert START <= clock() < START + 4_000
    assert capsys.readouterr().out.count("clock.set_to_leaders") == 1


@pytest.mark.field("D5")
async def test_small_differences_are_none(database: Database) -> None:
    leader, _ = lock(database, "leader", START)
    assert await leader.acquire()
    for difference in (-4_000, 4_000):
        other, clock = lock(database, "other", START + difference)
        assert not await other.acquire()
        assert clock() == START + difference


@pytest.mark.field("D5")
@pytest.mark.parametrize("step", [HOUR, -HOUR // 6])
async def test_the_next_leader_goes_on_with_the_time_of_the_last(
    database: Database, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = lock(database, "first", START)
    assert await first.acquire()
    await first.release()
    second, clock = lock(database, "second", START + step)
    assert await second.acquire()
    assert START <= clock() < START + 4_000
    # After a long time without a leader the system's time is the better one.
    monkeypatch.setattr(module, "CLOCK_MS", 1)
    assert await second.acquire()
    await second.release()
    await asyncio.sleep(0.01)
    third, clock = lock(database, "third", START + step)
    assert await third.acquire()
    assert clock() == START + step


@pytest.mark.field("D5")
async def test_the_leader_may_set_the_clock_back(database: Database) -> None:
    leader, leaders_clock = lock(database, "leader", START)
    other, clock = lock(database, "other", START)
    assert await leader.acquire()
    leaders_clock.advance(-HOUR)
    assert await leader.acquire()
    assert not await other.acquire()
    assert START - HOUR <= clock() < START - HOUR + 4_000


async def test_one_gateway_leads_at_a_time(shared: StorageOpener) -> None:
    async with shared.opened() as one, shared.opened() as other:
        assert await one.leader.acquire()
        assert not await other.leader.acquire()
        assert await one.leader.acquire()
        await one.leader.release()
        assert await other.leader.acquire()
