"""Somebody who hears callbacks: answers as told, remembers all."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Receiver:
    """`answer` gets the number of the request, from 1, and returns a status."""

    answer: Callable[[int], int] = lambda _: 200
    headers: dict[str, str] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    raw: list[tuple[dict[str, str], bytes, str]] = field(default_factory=list)
    hangs: asyncio.Event | None = None
    url: str = ""

    @property
    def events(self) -> list[str]:
        return [body["event"] for body in self.bodies]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Receiver"]:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._take)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self
            if self.hangs:
                self.hangs.set()

    async def heard(self, number: int) -> None:
        """Wait until `number` requests came."""
        async with asyncio.timeout(10):
            while len(self.raw) < number:
                await asyncio.sleep(0.01)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw.append((dict(request.headers), body, request.raw_path))
        if self.hangs:
            await self.hangs.wait()
        status = self.answer(len(self.raw))
        if status < 300:
            self.bodies.append(json.loads(body))
        return web.Response(status=status, headers=self.headers)
