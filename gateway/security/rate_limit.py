"""How often somebody may ask: a token bucket for each name, kept as one moment. Pure."""

from collections import OrderedDict

SECOND = 1_000_000_000
#: Names remembered at most; who asked longest ago is forgotten first, and has a full bucket again.
LIMIT = 10_000


class RateLimiter:
    """`rate` requests a second for each name, up to `burst` of them at once.

    The generic cell rate algorithm (ITU-T I.371): of a bucket only the moment is kept at which it
    will be full again. Moments are ns of a clock that does not go back.
    """

    def __init__(self, rate: float, burst: int, *, limit: int = LIMIT) -> None:
        self._interval = max(1, round(SECOND / rate))
        self._tolerance = self._interval * (burst - 1)
        self._limit = limit
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def acquire(self, name: str, now: int) -> int:
        """Take one request: 0 if `name` may ask, else the whole seconds after which it may."""
        full_at = max(self._full_at.get(name, now), now)
        early = full_at - now - self._tolerance
        if early > 0:
            return -(-early // SECOND)
        self._full_at[name] = full_at + self._interval
        self._full_at.move_to_end(name)
        if len(self._full_at) > self._limit:
            self._full_at.popitem(last=False)
        return 0
