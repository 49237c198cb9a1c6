"""How many job processes wait for calls: as many as came at once lately, within bounds. Pure."""

from collections import deque

#: Calls that came within so many s came at once: a process takes about a second of CPU to warm up.
BURST = 10.0
#: For how long after a burst there are as many idle processes as it had calls, in s.
REMEMBERED = 1800.0
#: How long no call must have come before more processes are warmed up, in s: until then the CPU
#: belongs to the calls that have just come.
CALM = 3.0


class IdleProcesses:
    """The number of idle processes, at least `minimum` and at most `maximum`."""

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._calls: deque[float] = deque(maxlen=maximum)
        #: When each recent burst had its last call, and how many it had; the largest first.
        self._bursts: deque[tuple[float, int]] = deque()

    def call_came(self, now: float) -> None:
        """`now` in s, of a clock that does not jump."""
        self._calls.append(now)
        size = sum(1 for at in self._calls if now - at <= BURST)
        # A smaller burst that is forgotten sooner can never count again.
        while self._bursts and self._bursts[-1][1] <= size:
            self._bursts.pop()
        self._bursts.append((now, size))

    def wanted(self, now: float) -> int | None:
        """How many processes should be idle; None while calls are coming: no change then."""
        if self._calls and now - self._calls[-1] < CALM:
            return None
        while self._bursts and now - self._bursts[0][0] > REMEMBERED:
            self._bursts.popleft()
        largest = self._bursts[0][1] if self._bursts else 0
        return max(self._minimum, min(largest, self._maximum))
