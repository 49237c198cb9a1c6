"""An HTTP server that receives callbacks, or is a tool: it answers as set and records requests."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Receiver:
    """`answer` gets the number of a request, from 1, and returns the status of its response.

    `answer_later` does so in its own time. `headers` and `text` are those of all responses.
    `bodies` has the requests that were accepted, `raw` all of them: headers, body and path. With
    `hang_until` no response is sent before that event is set.
    """

    answer: Callable[[int], int] = lambda _: 200
    answer_later: Callable[[int], Awaitable[int]] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    raw: list[tuple[dict[str, str], bytes, str]] = field(default_factory=list)
    hang_until: asyncio.Event | None = None
    url: str = ""
    most_at_a_time: int = 0
    _open: int = 0

    @property
    def events(self) -> list[str]:
        """The names of the events in `bodies`."""
        return [body["event"] for body in self.bodies]

    @asynccontextmanager
    async def serving(
        self, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator["Receiver"]:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._receive)
        server = TestServer(app, port=port)
        await server.start_server(ssl=tls)
        async with server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self
            if self.hang_until:
                self.hang_until.set()

    async def received(self, number: int) -> None:
        """Wait until `number` requests have arrived. Raises TimeoutError after 20 s."""
        async with asyncio.timeout(20):
            while len(self.raw) < number:
                await asyncio.sleep(0.01)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw.append((dict(request.headers), body, request.raw_path))
        self._open += 1
        self.most_at_a_time = max(self.most_at_a_time, self._open)
        if self.hang_until:
            await self.hang_until.wait()
        number = len(self.raw)
        status = await self.answer_later(number) if self.answer_later else self.answer(number)
        self._open -= 1
        if status < 300:
            self.bodies.append(json.loads(body))
        return web.Response(status=status, text=self.text, headers=self.headers)
