"""The time that the machine had for a run: what other work took of it does not count."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

#: How often the clock is advanced, and by how much at most, in s.
TICK = 0.02


class ResponsiveClock:
    """`now` in s. Where nothing else runs it is as fast as the time of day.

    It stands still while one of the processes `pids()` could run and had no processor. Calls begin
    by it, and people's patience ends by it: a busy machine is no fault of a gateway.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self.now = 0.0
        self._pids = pids
        self._order = itertools.count()
        self._alarms: list[tuple[float, int, Callable[[], object]]] = []

    def call_at(self, time: float, callback: Callable[[], object]) -> None:
        """Call `callback` once the clock shows `time`."""
        heapq.heappush(self._alarms, (time, next(self._order), callback))

    async def wait_until(self, time: float) -> None:
        """Return once the clock shows `time`."""
        if time > self.now:
            reached = asyncio.Event()
            self.call_at(time, reached.set)
            await reached.wait()

    async def run(self) -> None:
        """Advance it for as long as the simulation runs."""
        loop = asyncio.get_running_loop()
        at, waits = loop.time(), self._waits()
        while True:
            await asyncio.sleep(TICK)
            last_at, last_waits, at, waits = at, waits, loop.time(), self._waits()
            withheld = max(wait - last_waits.get(pid, wait) for pid, wait in waits.items())
            self.now += max(0.0, min(TICK, at - last_at - withheld))
            while self._alarms and self._alarms[0][0] <= self.now:
                _, _, callback = heapq.heappop(self._alarms)
                callback()

    def _waits(self) -> dict[int, float]:
        return {pid: _time_waited(pid) for pid in self._pids()}


def _time_waited(pid: int) -> float:
    """How long the process has waited for a processor, in s; 0 where the system does not tell."""
    try:
        _, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except OSError:
        return 0.0
    return int(waited) / 1e9
