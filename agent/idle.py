"""How many job processes wait for calls: as many as came at once lately, within bounds. Pure."""

import math
from collections import deque

#: Calls that came within so many s came at once.
BURST = 10.0
#: For how long after a burst there are as many idle processes as it had calls, in s.
REMEMBERED = 1800.0
#: Until so many s after a call the CPU belongs to the calls that have just come: to warm up a
#: process takes half a second of it.
CALM = 1.0


class IdleProcesses:
    """The number of idle processes, in calm at least `minimum` and at most `maximum`."""

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._calls: deque[float] = deque(maxlen=maximum)
        #: When each recent burst had its last call, and how many it had; the largest first.
        self._bursts: deque[tuple[float, int]] = deque()

    def call_came(self, now: float) -> None:
        """`now` in s, of a clock that does not jump."""
        self._calls.append(now)
        size = self._calls_since(now - BURST)
        # A smaller burst that is forgotten sooner can never count again.
        while self._bursts and self._bursts[-1][1] <= size:
            self._bursts.pop()
        self._bursts.append((now, size))

    def wanted(self, now: float) -> int:
        """How many processes should be idle; while calls come, as many as come in a second."""
        if self._calls and now - self._calls[-1] < CALM:
            return math.ceil(self._calls_since(now - BURST) / BURST)
        while self._bursts and now - self._bursts[0][0] > REMEMBERED:
            self._bursts.popleft()
        largest = self._bursts[0][1] if self._bursts else 0
        return max(self._minimum, min(largest, self._maximum))

    def _calls_since(self, begin: float) -> int:
        return sum(1 for at in self._calls if at >= begin)
