"""Server-sent events: texts to a client for as long as it listens, reads, and is there.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from gateway.errors import StorageUnavailable

log = structlog.get_logger()

#: A comment is sent after so long without an event, in s: proxies would close the connection.
HEARTBEAT = 15.0
#: How long a listener may leave what was sent to it unread, in s; meanwhile at most 64 KiB and one
#: event wait for it.
READ_TIMEOUT = 10.0
#: How soon the slot of a listener that has left is free, in s.
CHECK_INTERVAL = 1.0


async def event_stream(
    http: web.Request,
    events: AsyncIterator[str],
    end: asyncio.Event,
    *,
    longest: float = math.inf,
) -> web.StreamResponse:
    """Send `events` until `end`, until the client is gone or does not read, or storage fails.

    It ends after `longest` s, too: who comes back has to authenticate again. No error response can
    follow: it would be part of this one. The client comes back with the id of the last event that
    it got.
    """
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(http)
    _limit_silence(http)
    sending = asyncio.create_task(_send(response, events))
    ending = asyncio.create_task(end.wait())
    running = {sending, ending}
    until = time.monotonic() + longest
    try:
        while len(running) == 2 and http.transport and time.monotonic() < until:
            _, running = await asyncio.wait(
                running, timeout=CHECK_INTERVAL, return_when=asyncio.FIRST_COMPLETED
            )
        await _finish(sending)
        async with asyncio.timeout(CHECK_INTERVAL):
            await response.write_eof()
    except (TimeoutError, ConnectionError):
        if http.transport:
            http.transport.abort()
    finally:
        ending.cancel()
        sending.cancel()
    return response


async def _finish(sending: asyncio.Task[None]) -> None:
    """Stop to send. Raises TimeoutError, ConnectionError."""
    sending.cancel()
    await asyncio.wait({sending})
    match None if sending.cancelled() else sending.exception():
        case TimeoutError() | ConnectionError() as error:
            raise error
        case StorageUnavailable() as error:
            log.warning("feed.storage_unavailable", error=str(error))
        case Exception() as error:
            log.error("feed.failed", exc_info=error)


async def _send(response: web.StreamResponse, events: AsyncIterator[str]) -> None:
    """The events, with a comment now and then while there are none.

    Raises TimeoutError for a client that does not read, ConnectionError, StorageUnavailable.
    """
    text = ": listening\n\n"
    upcoming = asyncio.ensure_future(anext(events))
    try:
        while True:
            async with asyncio.timeout(READ_TIMEOUT):
                await response.write(text.encode())
            await asyncio.wait({upcoming}, timeout=HEARTBEAT)
            text = ":\n\n"
            if upcoming.done():
                text = upcoming.result()
                upcoming = asyncio.ensure_future(anext(events))
    finally:
        upcoming.cancel()


def _limit_silence(http: web.Request) -> None:
    """Have the system end a connection whose peer vanished without a word (Linux: tcp(7))."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    connection = http.transport.get_extra_info("socket") if http.transport else None
    if option and connection:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, option, int(2 * HEARTBEAT * 1000))
