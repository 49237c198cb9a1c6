"""A clock that the test sets."""

from collections.abc import Callable

from gateway.clock import Clock


def clock_showing(now: Callable[[], int], *, step: Callable[[], int] = lambda: 0) -> Clock:
    """A clock at `now()` (ms since epoch), while the system's has been set forward by `step()`."""
    return Clock(lambda: (now() + step()) * 1_000_000, lambda: now() * 1_000_000)
