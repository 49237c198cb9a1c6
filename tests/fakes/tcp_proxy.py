"""A TCP proxy whose connections can go silent, as behind a firewall that has dropped them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from gateway.config.settings import LOOPBACK

CHUNK = 65_536


class TcpProxy:
    """Forwards each connection to `port` on loopback; `accepted` counts them."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self.accepted = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_open = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def serving(cls, port: int) -> AsyncIterator[Self]:
        proxy = cls(port)
        server = await asyncio.start_server(proxy._forward, LOOPBACK, 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            for connection in list(proxy._connections):
                connection.cancel()
            await asyncio.gather(*proxy._connections, return_exceptions=True)

    def silence(self) -> None:
        """From now on nothing passes on the connections that exist, and they stay open."""
        self._is_open.set()
        self._is_open = asyncio.Event()

    def drop(self) -> None:
        """End the connections that exist."""
        for writer in self._writers:
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        self._writers.add(writer)
        self.accepted += 1
        try:
            await self._pipe_both(reader, writer, self._is_open)
        finally:
            self._connections.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _pipe_both(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silenced: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target)
            pipes = {
                asyncio.ensure_future(_pipe(reader, far_writer)),
                asyncio.ensure_future(_pipe(far_reader, writer)),
            }
            silence = asyncio.ensure_future(silenced.wait())
            try:
                await asyncio.wait({*pipes, silence}, return_when=asyncio.FIRST_COMPLETED)
                if silence.done():
                    for pipe in pipes:
                        pipe.cancel()
                    await asyncio.wait(pipes)
                    while await reader.read(CHUNK):
                        pass  # what arrives is lost
            finally:
                for task in (*pipes, silence):
                    task.cancel()
                far_writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
