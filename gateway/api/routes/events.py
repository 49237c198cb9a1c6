"""`GET /livekit-api/events`: changes of calls as they happen, as server-sent events."""

from collections.abc import AsyncIterator

from aiohttp import web

from gateway.api.auth import READ
from gateway.api.endpoints import Endpoint, Request
from gateway.api.event_stream import event_stream
from gateway.api.schemas.listing import FeedQuerySchema
from gateway.errors import ApiError, ErrorCode
from gateway.storage.feed import FeedEntry

#: Listeners of one gateway at most.
MAX_LISTENERS = 100


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
        return await event_stream(http, _texts(feed), request.services.stopping)
    finally:
        listeners.number -= 1


async def _texts(feed: AsyncIterator[FeedEntry]) -> AsyncIterator[str]:
    async for entry in feed:
        yield _event(entry)


def _event(entry: FeedEntry) -> str:
    """An entry without text stands for expired ones: the client has to fetch the list again."""
    if not entry.text:
        return f"event: missed\nid: {entry.id}\ndata: {{}}\n\n"
    return f"event: call\nid: {entry.id}\ndata: {entry.text}\n\n"
