"""The clock of a run."""

import asyncio
import os

import pytest

from tests.chaos import clock as clock_module
from tests.chaos.clock import TICK, ResponsiveClock


async def test_the_clock_stands_still_while_a_process_waits_for_a_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy, looked = True, 0

    def time_waited(pid: int) -> float:
        nonlocal looked
        looked += 1
        return float(looked) if busy and pid == 2 else 0.0

    monkeypatch.setattr(clock_module, "_time_waited", time_waited)
    clock = ResponsiveClock(lambda: [1, 2])
    running = asyncio.create_task(clock.run())
    async with asyncio.timeout(10):
        while looked < 20:
            await asyncio.sleep(TICK)
        assert clock.now == 0
        busy = False
        await clock.wait_until(5 * TICK)
    assert clock.now >= 5 * TICK
    running.cancel()


async def test_a_tick_is_not_longer_for_an_event_loop_that_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where other work takes the processor, ticks are shorter, and one more may pass.
    monkeypatch.setattr(clock_module, "_time_waited", lambda _: 0.0)
    clock = ResponsiveClock(lambda: [os.getpid()])
    running = asyncio.create_task(clock.run())
    await clock.wait_until(TICK)
    before, loop = clock.now, asyncio.get_running_loop()
    end = loop.time() + 10 * TICK
    while loop.time() < end:
        pass
    await clock.wait_until(before + TICK / 2)
    assert clock.now <= before + TICK
    running.cancel()
