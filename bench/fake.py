"""The fake LiveKit as a process of its own, at $PORT: it takes every room."""

import asyncio
import os

import uvloop
from aiohttp import web
from google.protobuf.message import Message

from gateway.config.settings import LOOPBACK
from tests.fakes.livekit import FakeLiveKit


async def main() -> None:
    app = FakeLiveKit(requests=Forgotten()).app()
    app.router.add_get("/", _up)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


async def _up(_: web.Request) -> web.Response:
    return web.Response()


class Forgotten(list[tuple[str, Message]]):
    """Nobody asks here what was asked."""

    def append(self, _: object) -> None: ...


uvloop.run(main())
