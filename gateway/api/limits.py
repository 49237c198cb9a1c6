"""What is refused before it costs anything: too much at a time, too often, too large."""

import time
from collections import Counter
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.client_address import address_of
from gateway.api.errors import refusal
from gateway.config.settings import Config
from gateway.errors import ApiError, ErrorCode
from gateway.security.rate_limit import RateLimiter

log = structlog.get_logger()

#: Where new work comes from. Hooks, webhooks and reports of calls that run are never refused.
NEW_WORK = ("/livekit-api", "/livekit-simple", "/livekit-api/calls")
DISPATCH = "/dispatch"
#: What a visitor is asked to wait who came while there was too much to do, in s.
RETRY_AFTER = 1
#: Refusals are logged at most this often, in s: writing a line for each would be work again.
LOG_EVERY = 1.0


@dataclass(slots=True)
class Slots:
    """How many requests are being answered, and how many may be."""

    size: int
    taken: int = 0


class Limits:
    """The limits of this gateway, and how often each was met."""

    def __init__(self, config: Config) -> None:
        settings = config.limits
        self.refused: Counter[str] = Counter()
        self._max_header_bytes = settings.max_header_bytes
        self._dispatch_rate = RateLimiter(settings.dispatch_rate, settings.dispatch_burst)
        # A dispatch may wait for somebody to answer the telephone, which is no work for us. As many
        # wait as outbound calls may be active; besides these, some are being prepared or refused.
        waiting = Slots(config.outbound.max_active_calls + settings.max_requests)
        self._slots = {**dict.fromkeys(NEW_WORK, Slots(settings.max_requests)), DISPATCH: waiting}
        self._logged_at = -LOG_EVERY

    def slots_for(self, path: str) -> Slots | None:
        """What a request at `path` needs a place in; None for one that is always let in."""
        return self._slots.get(path)

    def is_oversized(self, request: web.Request) -> bool:
        """Whether its headers are longer than they may be, each with its colon and line end."""
        length = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
        return length > self._max_header_bytes

    def check_rate(self, request: web.Request, client: str) -> None:
        """Raises ApiError 429 for an API key that asks too often; an address where none is needed.

        The rate is that of this gateway, whatever the key has asked others.
        """
        wait = self._dispatch_rate.acquire(
            client or f"address {address_of(request)}", time.monotonic_ns()
        )
        if wait:
            self.refused["too_many_requests"] += 1
            message = f"too many requests with this API key: come back in {wait} s"
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS, message, retry_after=wait)

    def note(self, what: str) -> None:
        """Somebody was refused: counted, and logged from time to time."""
        self.refused[what] += 1
        now = time.monotonic()
        if now - self._logged_at >= LOG_EVERY:
            self._logged_at = now
            log.warning("limit.exceeded", what=what, since_start=dict(self.refused))


LIMITS = web.AppKey("limits", Limits)


@web.middleware
async def load_shedding(request: web.Request, handler: Handler) -> web.StreamResponse:
    """New work beyond `limits.max_requests` is refused at once, its body unread."""
    limits = request.app[LIMITS]
    if limits.is_oversized(request):
        limits.note("headers_too_large")
        message = "the headers are larger than limits.max_header_bytes"
        return refusal(ApiError(ErrorCode.HEADERS_TOO_LARGE, message))
    slots = limits.slots_for(request.path)
    if slots is None:
        return await handler(request)
    if slots.taken >= slots.size:
        limits.note("overloaded")
        message = f"{slots.size} requests are being answered: come back in {RETRY_AFTER} s"
        return refusal(ApiError(ErrorCode.OVERLOADED, message, retry_after=RETRY_AFTER))
    slots.taken += 1
    try:
        return await handler(request)
    finally:
        slots.taken -= 1
