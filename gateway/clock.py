"""The gateway's clock: it starts as the system's, and a step of that does not move it."""

import time
from collections.abc import Callable

#: Smaller differences, in ms, are none: clocks of machines differ so much.
TOLERANCE_MS = 5_000


class Clock:
    """Called, it gives the time in ms since epoch; `wall` and `monotonic` are in ns.

    What is recorded about calls has its time, and so have their deadlines. What others check
    against their own clocks, such as a signature or a token, has the system's.
    """

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def __call__(self) -> int:
        return (self._offset + self._monotonic()) // 1_000_000

    def uptime(self) -> int:
        """Time that only passes, in ms from some moment: for what this process alone waits for."""
        return self._monotonic() // 1_000_000

    @property
    def lag(self) -> int:
        """How many ms it is behind the system's clock, which was set since; negative: ahead."""
        return (self._wall() - self._monotonic() - self._offset) // 1_000_000

    def advance(self, ms: int) -> None:
        """Set it forward by `ms`, or back if that is negative."""
        self._offset += ms * 1_000_000
