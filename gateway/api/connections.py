"""HTTP connections: how many may be open, and how long and large a request's headers may be."""

import asyncio
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler, Middleware

from gateway.api.errors import error_response
from gateway.api.limits import SHORT_BODY, Limits
from gateway.api.services import SERVICES
from gateway.config.settings import LimitSettings
from gateway.errors import ApiError, ErrorCode

log = structlog.get_logger()

#: How long the rest of a refused body is read, in s: its sender might otherwise see a broken
#: connection instead of the response.
LINGERING_TIME = 2.0
HEADERS_TOO_LARGE = "the headers are larger than limits.max_header_bytes"


class Connections:
    """The protocol factory of the server: makes the protocol of each connection.

    `unproven` are the connections over which nobody has authenticated so far, by the time of their
    last request: when no more may be open, the first of them makes room for a new one.
    """

    def __init__(self, server: web.Server, settings: LimitSettings, limits: Limits) -> None:
        self.server = server
        self.settings = settings
        self.limits = limits
        self.open: set[Connection] = set()
        self.unproven: dict[Connection, None] = {}

    def __call__(self) -> "Connection":
        return Connection(self)

    def add(self, connection: "Connection") -> bool:
        """Whether `connection` may be open."""
        if len(self.open) >= self.settings.max_connections:
            self.limits.exceeded("too_many_connections")
            oldest = next(iter(self.unproven), None)
            if oldest is None:
                return False
            self.remove(oldest)
            oldest.abort()
        self.open.add(connection)
        self.unproven[connection] = None
        return True

    def remove(self, connection: "Connection") -> None:
        self.open.discard(connection)
        self.unproven.pop(connection, None)

    def on_request(self, connection: "Connection") -> None:
        if connection in self.unproven:
            del self.unproven[connection]
            self.unproven[connection] = None


class Connection(web.RequestHandler):
    """aiohttp's protocol, which bounds the size of each header and how long a connection idles.

    This one also bounds the number of connections, the time that a request's headers take (from
    the connection, or from their first byte on an idle one) and their total size while they
    arrive. It reads aiohttp's private `_waiter`, hence `aiohttp ~=3.14.4` in setup.cfg.
    """

    __slots__ = ("_connections", "_header_bytes", "_timer")

    def __init__(self, connections: Connections) -> None:
        settings = connections.settings
        super().__init__(
            connections.server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None switches it off
            keepalive_timeout=settings.keepalive_timeout,
            lingering_time=LINGERING_TIME,
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
        )
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._connections.add(self):
            cast(asyncio.Transport, transport).abort()
            return
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.remove(self)
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_waiting = self._is_waiting
        super().data_received(data)
        if not self._is_waiting:
            if was_waiting:
                self._connections.on_request(self)
            self._stop_timer()
        elif data:
            self._header_bytes += len(data)
            self._start_timer()
            if self._header_bytes > self._connections.settings.max_header_bytes:
                self._connections.limits.exceeded(ErrorCode.HEADERS_TOO_LARGE)
                self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """The rest of a long body is not even read for a client that has proven nothing.

        The connection stays for LINGERING_TIME, so that the client can read the response.
        """
        length = request.content_length
        is_long = length is None or length > SHORT_BODY
        if is_long and not request.content.is_eof() and self in self._connections.unproven:
            resp.force_close()
            if self.transport:
                self.transport.pause_reading()
        return await super().finish_response(request, resp, start_time)

    def prove(self) -> None:
        """A client has authenticated: the connection is not closed for a new one any more."""
        self._connections.unproven.pop(self, None)

    def abort(self) -> None:
        if self.transport:
            self.transport.abort()

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A body that cannot be decoded, behind a refusal, is the client's error and no news."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is not HTTP gets an error response as well; its bytes are not logged."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        error = ApiError(ErrorCode.BAD_REQUEST, "this is not HTTP/1.1")
        if isinstance(exc, LineTooLong):
            error = ApiError(ErrorCode.HEADERS_TOO_LARGE, HEADERS_TOO_LARGE)
        log.warning("request.unreadable", code=error.code, remote=request.remote)
        response = error_response(error)
        response.force_close()
        return response

    @property
    def _is_waiting(self) -> bool:
        """Whether aiohttp still waits for the end of a request's headers."""
        return self._waiter is not None and not self._waiter.done()

    def _start_timer(self) -> None:
        if self._timer is None:
            timeout = self._connections.settings.read_timeout
            self._timer = asyncio.get_running_loop().call_later(timeout, self._on_timeout)

    def _stop_timer(self) -> None:
        self._header_bytes = 0
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        self._timer = None
        self._connections.limits.exceeded(ErrorCode.TOO_SLOW)
        self.force_close()


def header_limit(settings: LimitSettings) -> Middleware:
    """A middleware that refuses requests whose headers arrived at once and are too large."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Each header counts with its colon, space and line end.
        size = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
        if size <= settings.max_header_bytes:
            return await handler(request)
        request.app[SERVICES].limits.exceeded(ErrorCode.HEADERS_TOO_LARGE)
        return error_response(ApiError(ErrorCode.HEADERS_TOO_LARGE, HEADERS_TOO_LARGE))

    return check
