"""`python -m bench.crowd KIND PORT`: a crowd of clients that prove nothing, until it is ended."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Mapping

import uvloop

from gateway.config.settings import LOOPBACK

#: Clients at a time, and the pause of each between two connections, in s.
SIZE = 300
PAUSE = 1.0


def silent() -> bytes:
    return b""


def forged_hook() -> bytes:
    """A hook with a signature that looks right; 100 KB of its body never come."""
    return (
        "POST /livekit-api HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Jambonz-Signature: t={int(time.time())},v1=00\r\nContent-Length: 1000000\r\n\r\n"
    ).encode() + b" " * 900_000


def readiness() -> bytes:
    return b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


KINDS: Mapping[str, Callable[[], bytes]] = {
    each.__name__: each for each in (silent, forged_hook, readiness)
}


async def crowd(kind: str, port: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(SIZE):
            group.create_task(_client(KINDS[kind], port))
        await asyncio.sleep(1)
        print("crowded", flush=True)


async def _client(content: Callable[[], bytes], port: int) -> None:
    """Connect again and again; each connection is left when the gateway ends it, or after 20 s."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                async with asyncio.timeout(20):
                    writer.write(content())
                    while await reader.read(65536):
                        pass
            finally:
                writer.transport.abort()
        await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    uvloop.run(crowd(sys.argv[1], int(sys.argv[2])))
