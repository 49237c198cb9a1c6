"""Rate limits: a token bucket for each client, stored as one timestamp. Pure."""

from collections import OrderedDict

SECOND = 1_000_000_000
#: At most so many buckets are stored; the least recently used is dropped, that is: refilled.
LIMIT = 10_000


class RateLimiter:
    """Allows each client `rate` requests a second on average, and up to `burst` at once.

    The generic cell rate algorithm (ITU-T I.371): a bucket is stored as the time at which it will
    be full again, in ns of a monotonic clock.
    """

    def __init__(self, rate: float, burst: int, *, limit: int = LIMIT) -> None:
        self._interval = max(1, round(SECOND / rate))
        self._tolerance = self._interval * (burst - 1)
        self._limit = limit
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def acquire(self, client: str, now: int) -> int:
        """Count a request of `client` and return 0; if it is over the limit, the seconds to wait.

        `now` is in ns. A request over the limit is not counted.
        """
        full_at = max(self._full_at.get(client, now), now)
        excess = full_at - now - self._tolerance
        if excess > 0:
            return -(-excess // SECOND)
        self._full_at[client] = full_at + self._interval
        self._full_at.move_to_end(client)
        if len(self._full_at) > self._limit:
            self._full_at.popitem(last=False)
        return 0
