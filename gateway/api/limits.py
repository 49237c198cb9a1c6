"""What the gateway refuses before it costs anything: too many requests at a time, or too often."""

import time
from collections import Counter
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


class Workload(StrEnum):
    """Requests that bring new work. Hooks, webhooks and reports of active calls have no limit."""

    NEW_CALLS = "new_calls"
    DISPATCHES = "dispatches"
    SOCKETS = "sockets"


@dataclass(slots=True)
class Slots:
    """How many requests of a workload are being answered, and how many may be."""

    size: int
    taken: int = 0


class Limits:
    """The limits of this gateway, and how often each was exceeded since it started."""

    def __init__(self, config: Config) -> None:
        settings = config.limits
        self.refused: Counter[str] = Counter()
        self._dispatch_rate = RateLimiter(settings.dispatch_rate, settings.dispatch_burst)
        # A dispatch may wait until the callee answers, which is no load. As many wait as outbound
        # calls may be active; besides them, some are being prepared or refused.
        dispatches = config.outbound.max_active_calls + settings.max_requests
        self._slots = {
            Workload.NEW_CALLS: Slots(settings.max_requests),
            Workload.DISPATCHES: Slots(dispatches),
            Workload.SOCKETS: Slots(settings.max_sockets),
        }
        self._logged_at = -LOG_INTERVAL

    def slots(self, workload: Workload) -> Slots:
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
        wait = self._dispatch_rate.acquire(client, time.monotonic_ns())
        if wait:
            self.refused[ErrorCode.TOO_MANY_REQUESTS] += 1
            message = f"too many requests with this API key: retry in {wait} s"
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS, message, retry_after=wait)

    def exceeded(self, limit: str) -> None:
        """Count a refused request or connection, and log it if none was logged just before."""
        self.refused[limit] += 1
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            log.warning("limit.exceeded", limit=limit, since_start=dict(self.refused))
