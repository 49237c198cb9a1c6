"""What the gateway refuses before it costs anything: too many requests at a time, or too often."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import structlog

from gateway.config.settings import Config
from gateway.errors import ApiError, ErrorCode
from gateway.security.rate_limit import RateLimiter

log = structlog.get_logger()

#: How long a client is asked to wait when all slots are taken, in s.
RETRY_AFTER = 1
#: Refusals are logged at most this often, in s: a line for each would itself be load.
LOG_INTERVAL = 1.0
#: The bodies of clients that have proven nothing yet, in bytes: each may be so long, and what is
#: longer so much together. Hooks of Jambonz are signed over their body; most have 1 to 8 KiB.
SHORT_BODY = 16 * 1024
LONG_BODIES = 16 * 1024 * 1024
#: Attempts to sign in to the page for each address: one in so many s, and so many at once.
SIGN_IN_INTERVAL = 5.0
SIGN_IN_BURST = 10

#: Exports of calls at a time: each reads the whole history.
MAX_EXPORTS = 2


class Workload(StrEnum):
    """Requests that bring new work. Hooks, webhooks and reports of active calls have no limit."""

    NEW_CALLS = "new_calls"
    DISPATCHES = "dispatches"
    SOCKETS = "sockets"
    EXPORTS = "exports"


@dataclass(slots=True)
class Slots:
    """How many requests of a workload are being answered, and how many may be."""

    size: int
    taken: int = 0

    @property
    def is_full(self) -> bool:
        return self.taken >= self.size


class Limits:
    """The limits of this gateway, and how often each was exceeded since it started."""

    def __init__(self, config: Config) -> None:
        settings = config.limits
        self.refused: Counter[str] = Counter()
        self._dispatch_rate = RateLimiter(settings.dispatch_rate, settings.dispatch_burst)
        self._sign_in_rate = RateLimiter(1 / SIGN_IN_INTERVAL, SIGN_IN_BURST)
        # A dispatch may wait until the callee answers, which is no load. As many wait as outbound
        # calls may be active; besides them, some are being prepared or refused.
        dispatches = config.outbound.max_active_calls + settings.max_requests
        self._slots: dict[Workload | None, Slots] = {
            None: Slots(sys.maxsize),
            Workload.NEW_CALLS: Slots(settings.max_requests),
            Workload.DISPATCHES: Slots(dispatches),
            Workload.SOCKETS: Slots(settings.max_sockets),
            Workload.EXPORTS: Slots(MAX_EXPORTS),
        }
        self._logged_at = -LOG_INTERVAL
        self._long_bodies = 0

    def slots(self, workload: Workload | None) -> Slots:
        return self._slots[workload]

    def overloaded(self, slots: Slots) -> ApiError:
        """The refusal of a request for which no slot is left."""
        self.exceeded(ErrorCode.OVERLOADED)
        message = f"{slots.size} requests are being answered: retry in {RETRY_AFTER} s"
        return ApiError(ErrorCode.OVERLOADED, message, retry_after=RETRY_AFTER)

    def check_dispatch_rate(self, client: str) -> None:
        """Count a dispatch of `client`. Raises ApiError 429 above `limits.dispatch_rate`.

        The rate is that of this gateway; other gateways count for themselves.
        """
        self._check(self._dispatch_rate, client, "too many requests with this API key")

    def check_sign_in_rate(self, address: str) -> None:
        """Count an attempt to sign in from `address`. Raises ApiError 429 above the rate."""
        self._check(self._sign_in_rate, address, "too many attempts to sign in")

    def _check(self, rate: RateLimiter, client: str, problem: str) -> None:
        wait = rate.acquire(client, time.monotonic_ns())
        if wait:
            self.refused[ErrorCode.TOO_MANY_REQUESTS] += 1
            message = f"{problem}: retry in {wait} s"
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS, message, retry_after=wait)

    @contextmanager
    def unproven_body(self) -> Iterator[Callable[[int], None]]:
        """A function that gets how long a body is by now. It raises ApiError 503.

        Long bodies cannot keep short ones out: what a body has up to SHORT_BODY is not counted.
        """
        counted = 0

        def count(size: int) -> None:
            nonlocal counted
            more = max(0, size - SHORT_BODY) - counted
            if more > LONG_BODIES - self._long_bodies:
                self.exceeded(ErrorCode.OVERLOADED)
                message = f"too many long bodies are arriving: retry in {RETRY_AFTER} s"
                raise ApiError(ErrorCode.OVERLOADED, message, retry_after=RETRY_AFTER)
            counted += more
            self._long_bodies += more

        try:
            yield count
        finally:
            self._long_bodies -= counted

    def exceeded(self, limit: str) -> None:
        """Count a refused request or connection, and log it if none was logged just before."""
        self.refused[limit] += 1
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            log.warning("limit.exceeded", limit=limit, since_start=dict(self.refused))
