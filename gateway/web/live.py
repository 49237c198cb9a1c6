"""What open pages receive: one reader of the live feed for all of them, once a second at most.

A page costs the gateway one write for each message. A message has the rows of the calls that have
changed and, where they have, today's counts and the health of each part, as HTML for each kind of
reader.
"""

import asyncio
import contextlib
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import jinja2
import msgspec
import structlog
from aiohttp import web

from gateway.aio import BackgroundTasks, run_forever
from gateway.api.auth import VIEW
from gateway.api.endpoints import Endpoint, Request
from gateway.api.event_stream import event_stream
from gateway.api.schemas.listing import FeedQuerySchema
from gateway.api.services import Services
from gateway.errors import ApiError, ErrorCode, StorageUnavailable
from gateway.security.api_keys import Role
from gateway.storage.feed import FeedEntry
from gateway.web.masking import visible
from gateway.web.overview import Overviews

log = structlog.get_logger()

#: Pages that may be open at one gateway.
MAX_PAGES = 500
#: The pause between two messages, in s.
INTERVAL = 1.0
#: Rows in a message at most: where more calls change within a second, pages load their list again.
MAX_ROWS = 60
#: Messages that are kept for pages whose connection broke.
KEPT = 60
#: How long the feed is read on with no page open, in s: a page that is being loaded misses nothing.
LINGER = 30.0
#: How long one connection lasts, in s: a session may have ended meanwhile.
LONGEST = 900.0
#: How long a page waits until the feed is read, in s: that is at once, unless something is wrong.
PATIENCE = 2.0
#: What a row does not need of a call, and what may be large.
_NOT_IN_ROWS = ("report", "call_analysis", "metadata")
#: How soon a browser connects again, in ms.
RETRY_MS = 1_500


@dataclass
class Message:
    """`calls` have changed, all or more than these if `is_more`; `panels` is HTML by element id."""

    id: str
    calls: Mapping[str, Mapping[str, Any]]
    is_more: bool
    panels: Mapping[str, str]
    row: Callable[[Mapping[str, Any]], str]
    _texts: dict[bool, str] = field(default_factory=dict)

    def text(self, role: Role) -> str:
        """The event for readers with `role`; made once for all of a kind."""
        sees_all = role.includes(Role.READ)
        if sees_all not in self._texts:
            rows = {key: self.row(visible(call, role)) for key, call in self.calls.items()}
            data = json.dumps({"rows": rows, "more": self.is_more, "panels": self.panels})
            self._texts[sees_all] = f"event: update\nid: {self.id}\ndata: {data}\n\n"
        return self._texts[sees_all]


@dataclass
class _Changes:
    """What has changed since the last message; `is_more`: and other calls too."""

    calls: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    is_more: bool = False

    def add(self, entry: FeedEntry) -> None:
        if not entry.text:  # the feed has gone on without this reader
            self.is_more = True
            return
        call = msgspec.json.decode(entry.text)["call"]
        for name in _NOT_IN_ROWS:
            call.pop(name, None)
        self.calls.pop(call["call_id"], None)
        if len(self.calls) < MAX_ROWS:
            self.calls[call["call_id"]] = call
        else:
            self.is_more = True


class LiveUpdates:
    """Of one gateway. Nothing is read while no page is open."""

    def __init__(self, services: Services, templates: jinja2.Environment) -> None:
        self.overviews = Overviews(services)
        self.pages = 0
        self._services = services
        self._templates = templates
        self._tasks = BackgroundTasks()
        self._reading: asyncio.Task[None] | None = None
        self._is_listening = asyncio.Event()
        self._published = asyncio.Event()
        self._changes = _Changes()
        self._messages: deque[Message] = deque(maxlen=KEPT)
        self._started = secrets.token_hex(4)
        self._number = 0
        self._wanted_until = 0.0
        self._panels: Mapping[str, str] = {}

    async def position(self) -> str:
        """The id of the last message: who listens after it misses nothing from now on."""
        self._wanted_until = time.monotonic() + LINGER
        if self._reading is None or self._reading.done():
            self._reading = self._tasks.spawn(self._run(), name="live updates")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._is_listening.wait()
        return self._id(self._number)

    async def listen(self, after: str, role: Role) -> AsyncIterator[str]:
        """The events after the one with the id `after`, then new ones; "" is for new ones only."""
        await self.position()
        number = self._number_of(after) if after else self._number
        yield f"retry: {RETRY_MS}\n\n"
        while True:
            dropped = self._number - len(self._messages)
            if number is None or number < dropped:
                number = self._number
                yield f"event: missed\nid: {self._id(number)}\ndata: {{}}\n\n"
                continue
            for message in list(islice(self._messages, number - dropped, None)):
                number += 1
                yield message.text(role)
            if number == self._number:
                self._published.clear()
                await self._published.wait()

    async def close(self) -> None:
        await self._tasks.close()
        await self.overviews.close()

    @property
    def _is_wanted(self) -> bool:
        return self.pages > 0 or time.monotonic() < self._wanted_until

    async def _run(self) -> None:
        """Read the feed and publish messages for as long as a page is open."""
        reading = self._tasks.spawn(run_forever(self._read), name="feed of the page")
        try:
            while self._is_wanted:
                await asyncio.sleep(INTERVAL)
                changes, self._changes = self._changes, _Changes()
                await self._publish(changes)
        finally:
            reading.cancel()
            self._is_listening.clear()

    async def _read(self) -> None:
        """Note what changes, until storage does not answer."""
        try:
            feed = await self._services.storage.feed.listen("")
            self._is_listening.set()
            async for entry in feed:
                self._changes.add(entry)
        except StorageUnavailable as error:
            log.warning("feed.storage_unavailable", error=str(error))
            self._changes.is_more = True
            self._is_listening.set()  # pages do not wait for storage: they say that it is away

    async def _publish(self, changes: _Changes) -> None:
        parts: Any = self._templates.get_template("parts.html").module
        overview = await self.overviews.current()
        panels = {
            "today": str(parts.today(overview.today)),
            "health": str(parts.health(overview.parts)),
        }
        changed = {key: html for key, html in panels.items() if self._panels.get(key) != html}
        self._panels = panels
        if not (changes.calls or changes.is_more or changed):
            return
        self._number += 1
        message = Message(
            self._id(self._number),
            changes.calls,
            changes.is_more,
            changed,
            lambda call: str(parts.row(call)),
        )
        self._messages.append(message)
        self._published.set()

    def _id(self, number: int) -> str:
        return f"{self._started}-{number}"

    def _number_of(self, message_id: str) -> int | None:
        """None for an id that this gateway has not given since it started."""
        started, _, number = message_id.partition("-")
        if started != self._started or not number.isdecimal() or len(number) > 20:
            return None
        return int(number) if int(number) <= self._number else None


LIVE = web.AppKey("live", LiveUpdates)


@Endpoint(
    "GET",
    "/live",
    "What has changed, for open pages: server-sent events",
    authentication=VIEW,
    query=FeedQuerySchema(),
    headers={"Last-Event-ID": "id of the last event received: later ones are replayed"},
    answers={200: {"type": "string", "description": "events `update` and `missed`"}},
    answer_type="text/event-stream",
    raises=(ErrorCode.OVERLOADED,),
)
async def live_events(request: Request) -> web.StreamResponse:
    live = request.http.app[LIVE]
    if live.pages >= MAX_PAGES:
        raise ApiError(ErrorCode.OVERLOADED, f"{MAX_PAGES} pages are open already", retry_after=30)
    after: str = request.http.headers.get("Last-Event-ID", "") or request.query["after"]
    live.pages += 1
    try:
        events = live.listen(after, request.role)
        stopping = request.services.stopping
        return await event_stream(request.http, events, stopping, longest=LONGEST)
    finally:
        live.pages -= 1
