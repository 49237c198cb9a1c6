"""Visitors' connections: how many there may be, and how long one may take to ask something."""

import asyncio
from typing import cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from gateway.api.errors import refusal
from gateway.api.limits import Limits
from gateway.config.settings import LimitSettings
from gateway.errors import ApiError, ErrorCode

log = structlog.get_logger()

#: How long the rest of a body that was refused is read, in s: else its sender might see a broken
#: connection in place of the answer.
LINGERING = 2.0


class Connections:
    """Makes the protocol of each connection; a server's protocol factory."""

    def __init__(self, server: web.Server, settings: LimitSettings, limits: Limits) -> None:
        self.server = server
        self.settings = settings
        self.limits = limits
        self.open: set[Connection] = set()

    def __call__(self) -> "Connection":
        return Connection(self)


class Connection(web.RequestHandler):
    """aiohttp's own, which bounds the size of each header, and how long a connection idles.

    Added: a bound on their number, on the time that a request's headers take (from the connecting,
    or from the first byte after a pause) and on their whole size, while they arrive.
    """

    __slots__ = ("_all", "_expiry", "_unread")

    def __init__(self, connections: Connections) -> None:
        settings = connections.settings
        super().__init__(
            connections.server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # what switches it off
            keepalive_timeout=settings.keepalive_timeout,
            lingering_time=LINGERING,
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
        )
        self._all = connections
        self._expiry: asyncio.TimerHandle | None = None
        self._unread = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._all.open) >= self._all.settings.max_connections:
            self._all.limits.note("too_many_connections")
            cast(asyncio.Transport, transport).abort()
            return
        self._all.open.add(self)
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._all.open.discard(self)
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_waiting:
            self._settle()
        elif data:
            self._unread += len(data)
            self._expect()
            if self._unread > self._all.settings.max_header_bytes:
                self._all.limits.note("headers_too_large")
                self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What cannot be read as HTTP is answered like anything else, and logged without it."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        error = ApiError(ErrorCode.BAD_REQUEST, "this cannot be read as HTTP/1.1")
        if isinstance(exc, LineTooLong):
            text = "the headers are larger than limits.max_header_bytes"
            error = ApiError(ErrorCode.HEADERS_TOO_LARGE, text)
        log.warning("request.unreadable", code=error.code, remote=request.remote)
        answer = refusal(error)
        answer.force_close()
        return answer

    @property
    def _is_waiting(self) -> bool:
        """Whether what has come is no whole request yet: aiohttp still waits for one."""
        return self._waiter is not None and not self._waiter.done()

    def _expect(self) -> None:
        if self._expiry is None:
            timeout = self._all.settings.read_timeout
            self._expiry = asyncio.get_running_loop().call_later(timeout, self._expired)

    def _settle(self) -> None:
        self._unread = 0
        if self._expiry:
            self._expiry.cancel()
            self._expiry = None

    def _expired(self) -> None:
        self._expiry = None
        self._all.limits.note("too_slow")
        self.force_close()
