"""`GET /livekit-api/events`: what happens to calls as it happens, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.api.auth import require_role
from gateway.api.keys import FEED, LISTENERS
from gateway.errors import ApiError, ErrorCode
from gateway.security.api_keys import Role
from gateway.storage.feed import FeedEntry

routes = web.RouteTableDef()

#: Listeners of one gateway at most.
MOST = 100
#: After so long without news a comment is sent, in s: it keeps proxies from closing.
HEARTBEAT = 15.0


@routes.get("/livekit-api/events")
async def events(request: web.Request) -> web.StreamResponse:
    require_role(request, Role.READ)
    listeners = request.app[LISTENERS]
    if listeners.number >= MOST:
        raise ApiError(ErrorCode.OVERLOADED, f"{MOST} listen already", retry_after=5)
    after = request.headers.get("Last-Event-ID", "") or request.query.get("after", "")
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    listeners.number += 1
    try:
        await response.prepare(request)
        async for text in _paced(request.app[FEED].listen(after), listeners.end):
            await response.write(text.encode())
    except ConnectionResetError:
        pass  # the listener went
    finally:
        listeners.number -= 1
    return response


async def _paced(feed: AsyncIterator[FeedEntry], end: asyncio.Event) -> AsyncIterator[str]:
    """The feed's news as events until the `end`, with a comment now and then while it is quiet."""
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


def _event(news: FeedEntry) -> str:
    if not news.text:
        # What was missed cannot be told any more: whoever keeps a list asks for all of it again.
        return f"event: missed\nid: {news.id}\ndata: {{}}\n\n"
    return f"event: call\nid: {news.id}\ndata: {news.text}\n\n"


async def end_listening(app: web.Application) -> None:
    """Whoever listens does so for ever: the gateway could not stop."""
    app[LISTENERS].end.set()
