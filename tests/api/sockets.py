"""A gateway that listens by its own protocol, and what raw sockets get from it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from gateway.api.connections import Connections
from gateway.api.services import SERVICES
from tests.conftest import READ_KEY

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"

AUTHENTICATED = (
    f"GET /livekit-api/calls HTTP/1.1\r\nHost: gateway\r\nX-API-Key: {READ_KEY}\r\n\r\n".encode()
)
LIMIT = 20.0


class Gateway:
    """One that listens; `connect()` opens a connection to it."""

    def __init__(self, app: web.Application, port: int, connections: Connections) -> None:
        self.app = app
        self.connections = connections
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        return reader, writer

    async def leave(self) -> None:
        for writer in self._writers:
            writer.close()


Starter = Callable[..., Awaitable[Gateway]]


@asynccontextmanager
async def listening(app: web.Application, settings: Any) -> AsyncIterator[Gateway]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server
    factory = Connections(runner.server, settings, app[SERVICES].limits)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    gateway = Gateway(app, server.sockets[0].getsockname()[1], factory)
    try:
        yield gateway
    finally:
        await gateway.leave()
        server.close()
        await runner.cleanup()


async def to_the_end(reader: asyncio.StreamReader) -> bytes:
    """What comes until the gateway closes the connection, which it must."""
    async with asyncio.timeout(LIMIT):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def answer(reader: asyncio.StreamReader) -> bytes:
    """One answer with a body, its status line only."""
    async with asyncio.timeout(LIMIT):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
        await reader.readexactly(int(length.partition(b":")[2]))
    return head.partition(b"\r\n")[0]
