"""`GET /livekit-api/events`: changes of calls as they happen, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.api.auth import READ
from gateway.api.endpoints import Endpoint, Request
from gateway.api.schemas.listing import FeedQuerySchema
from gateway.errors import ApiError, ErrorCode
from gateway.storage.feed import FeedEntry

#: Listeners of one gateway at most.
MAX_LISTENERS = 100
#: A comment is sent after so long without an event, in s: proxies would close the connection.
HEARTBEAT = 15.0


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
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    listeners.number += 1
    try:
        await response.prepare(http)
        feed = request.services.storage.feed.listen(last_id)
        async for text in _stream(feed, listeners.end):
            await response.write(text.encode())
    except ConnectionResetError:
        pass  # the client closed the connection
    finally:
        listeners.number -= 1
    return response


async def _stream(feed: AsyncIterator[FeedEntry], end: asyncio.Event) -> AsyncIterator[str]:
    """The feed's entries as events until `end`, with a comment now and then while it is quiet."""
    yield ": listening\n\n"
    ending = asyncio.ensure_future(end.wait())
    upcoming = asyncio.ensure_future(anext(feed))
    try:
        while True:
            await asyncio.wait(
                {upcoming, ending}, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED
            )
            if ending.done():
                return
            if upcoming.done():
                yield _event(upcoming.result())
                upcoming = asyncio.ensure_future(anext(feed))
            else:
                yield ":\n\n"
    finally:
        upcoming.cancel()
        ending.cancel()


def _event(entry: FeedEntry) -> str:
    """An entry without text stands for expired ones: the client has to fetch the list again."""
    if not entry.text:
        return f"event: missed\nid: {entry.id}\ndata: {{}}\n\n"
    return f"event: call\nid: {entry.id}\ndata: {entry.text}\n\n"
