"""`GET /livekit-api/events`: changes of calls as they happen, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from gateway.api.auth import READ
from gateway.api.endpoints import Endpoint, Request
from gateway.api.schemas.listing import FeedQuerySchema
from gateway.errors import ApiError, ErrorCode, StorageUnavailable
from gateway.storage.feed import FeedEntry

log = structlog.get_logger()

#: Listeners of one gateway at most.
MAX_LISTENERS = 100
#: A comment is sent after so long without an event, in s: proxies would close the connection.
HEARTBEAT = 15.0
#: How long a listener may leave what was sent to it unread, in s; meanwhile at most 64 KiB and one
#: event wait for it.
READ_TIMEOUT = 10.0
#: How soon the slot of a listener that has left is free, in s.
CHECK_INTERVAL = 1.0


@Endpoint(
    "GET",
    "/livekit-api/events",
    "Changes of calls as they happen: server-sent events",
    authentication=READ,
    query=FeedQuerySchema(),
    headers={"Last-Event-ID": "id of the last event received: later ones are replayed"},
    answers={200: {"type": "string", "description": "events `call` with {event, call}, `missed`"}},
    answer_type="text/event-stream",
    raises=(ErrorCode.OVERLOADED, ErrorCode.STORAGE_UNAVAILABLE),
)
async def events(request: Request) -> web.StreamResponse:
    listeners = request.services.listeners
    if listeners.number >= MAX_LISTENERS:
        message = f"{MAX_LISTENERS} clients listen already"
        raise ApiError(ErrorCode.OVERLOADED, message, retry_after=5)
    http = request.http
    last_id: str = http.headers.get("Last-Event-ID", "") or request.query["after"]
    listeners.number += 1
    try:
        feed = await request.services.storage.feed.listen(last_id)
        return await _respond(http, feed, request.services.stopping)
    finally:
        listeners.number -= 1


async def _respond(
    http: web.Request, feed: AsyncIterator[FeedEntry], end: asyncio.Event
) -> web.StreamResponse:
    """Send the feed until `end`, until the client is gone or does not read, or storage fails.

    No error response can follow: it would be part of this one. The client comes back with the id
    of the last event that it got.
    """
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(http)
    _limit_silence(http)
    sending = asyncio.create_task(_send(response, feed))
    ending = asyncio.create_task(end.wait())
    running = {sending, ending}
    try:
        while len(running) == 2 and http.transport:
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


async def _send(response: web.StreamResponse, feed: AsyncIterator[FeedEntry]) -> None:
    """The feed's entries as events, with a comment now and then while it is quiet.

    Raises TimeoutError for a client that does not read, ConnectionError, StorageUnavailable.
    """
    text = ": listening\n\n"
    upcoming = asyncio.ensure_future(anext(feed))
    try:
        while True:
            async with asyncio.timeout(READ_TIMEOUT):
                await response.write(text.encode())
            await asyncio.wait({upcoming}, timeout=HEARTBEAT)
            text = ":\n\n"
            if upcoming.done():
                text = _event(upcoming.result())
                upcoming = asyncio.ensure_future(anext(feed))
    finally:
        upcoming.cancel()


def _event(entry: FeedEntry) -> str:
    """An entry without text stands for expired ones: the client has to fetch the list again."""
    if not entry.text:
        return f"event: missed\nid: {entry.id}\ndata: {{}}\n\n"
    return f"event: call\nid: {entry.id}\ndata: {entry.text}\n\n"


def _limit_silence(http: web.Request) -> None:
    """Have the system end a connection whose peer vanished without a word (Linux: tcp(7))."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    connection = http.transport.get_extra_info("socket") if http.transport else None
    if option and connection:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, option, int(2 * HEARTBEAT * 1000))
