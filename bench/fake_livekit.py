"""The tests' fake LiveKit as a process of its own, at $PORT. It accepts every room."""

import asyncio
import os

import uvloop
from aiohttp import web
from google.protobuf.message import Message

from gateway.config.settings import LOOPBACK
from tests.fakes.livekit import FakeLiveKit


class NoRecord(list[tuple[str, Message]]):
    """Stays empty: nothing reads the requests here, and there are very many."""

    def append(self, _: object) -> None: ...


async def main() -> None:
    app = FakeLiveKit(requests=NoRecord()).app()
    app.router.add_get("/", _ready)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


async def _ready(_: web.Request) -> web.Response:
    return web.Response()


uvloop.run(main())
