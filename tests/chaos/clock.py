"""The time in which the machine was responsive: while nothing could run it stands still."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

#: How often the clock is advanced, and by how much at most, in s.
TICK = 0.05


class ResponsiveClock:
    """`now` in s. It is as fast as the time of day where the event loop is never late.

    People's patience is measured with it: what other work does to the machine is no fault of a
    gateway.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._alarms: list[tuple[float, int, Callable[[], object]]] = []

    def call_at(self, time: float, callback: Callable[[], object]) -> None:
        """Call `callback` once the clock shows `time`."""
        heapq.heappush(self._alarms, (time, next(self._order), callback))

    async def run(self) -> None:
        """Advance it for as long as the simulation runs."""
        while True:
            await asyncio.sleep(TICK)
            self.now += TICK
            while self._alarms and self._alarms[0][0] <= self.now:
                _, _, callback = heapq.heappop(self._alarms)
                callback()
