"""What one slow, dead or hostile neighbour of the gateway costs callers: added at p99.

Each measurement is a steady rate of call hooks with the neighbour, against one without.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import aiohttp

from bench.processes import GATEWAY_BEHIND_NAME_SERVER, Server, fake_livekit, serving
from bench.result import Result
from bench.steady_rate import send_hooks
from gateway.config.settings import LOOPBACK
from tests.fakes.name_server import NameServer

#: Hooks a second, and for how many seconds with each neighbour.
RATE = 50
SECONDS = 10
#: Added at p99, in ms.
LIMIT = 100
#: So many callback hosts, connections and requests at a time.
MANY = 50
CROWD = 300
HANGING = [f"h{number}.example.com" for number in range(MANY)]

Neighbour = Callable[[Server], contextlib.AbstractAsyncContextManager[None]]


async def measure() -> list[Result]:
    async with NameServer(
        {f"h{number}.example.com": [] for number in range(MANY)}
    ).serving() as dns:
        env = {
            "NAME_SERVER": dns.address,
            "GATEWAY__CALLBACKS__ALLOWED_HOSTS": f"*.example.com,{LOOPBACK}",
            "SIP_OUTBOUND_TRUNK_ID": "ST_1",
        }
        with (
            fake_livekit() as livekit,
            serving(GATEWAY_BEHIND_NAME_SERVER, {**livekit, **env}) as gateway,
        ):
            return await _measure(gateway)


async def _measure(gateway: Server) -> list[Result]:
    results = []
    await _p99(gateway)
    for name, neighbour in NEIGHBOURS.items():
        alone, _ = await _p99(gateway)
        async with neighbour(gateway):
            beside, failures = await _p99(gateway)
        detail = f"{alone:.0f} ms alone, {beside:.0f} ms beside it"
        results.append(Result(f"{name}: added at p99", beside - alone, LIMIT, "ms", detail))
        results.append(Result("  of them failed", failures, 0, "hooks"))
    return results


async def _p99(gateway: Server) -> tuple[float, int]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        times, failures, _ = await send_hooks(session, gateway.url, SECONDS, rate=RATE)
    return statistics.quantiles(times, n=100)[98] * 1000, failures


@asynccontextmanager
async def hanging_names(gateway: Server) -> AsyncIterator[None]:
    """Callbacks to hosts whose name server does not answer."""
    await _dispatch(gateway, [f"http://{host}/" for host in HANGING])
    yield


@asynccontextmanager
async def silent_receiver(gateway: Server) -> AsyncIterator[None]:
    """Callbacks to a receiver that accepts connections and never answers."""
    server = await asyncio.start_server(lambda reader, writer: asyncio.sleep(60), LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.sleep(MANY / 10)  # the burst of dispatches that a client may have
    await _dispatch(gateway, [f"http://{LOOPBACK}:{port}/"] * MANY)
    yield
    server.close()


async def _dispatch(gateway: Server, callback_urls: list[str]) -> None:
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for url in callback_urls:
            body = {
                "destination": "+61491570156",
                "account_code": "bench",
                "metadata": {},
                "wait": "none",
                "callback_url": url,
            }
            group.create_task(_post(session, f"{gateway.url}/dispatch", body))


async def _post(session: aiohttp.ClientSession, url: str, body: Mapping[str, object]) -> None:
    async with session.post(url, json=body) as response:
        assert response.status == 200, await response.text()


@asynccontextmanager
async def silent_connections(gateway: Server) -> AsyncIterator[None]:
    """Connections over which nothing comes, each replaced by another once it is closed."""
    async with _repeating(partial(_connect, gateway, b"", 30.0)):
        yield


@asynccontextmanager
async def forged_hooks(gateway: Server) -> AsyncIterator[None]:
    """Hooks with a signature that looks right, each with a body of 1 MiB that takes its time."""
    head = (
        "POST /livekit-api HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        f"Jambonz-Signature: t={int(time.time())},v1=00\r\nContent-Length: 1000000\r\n\r\n"
    )
    async with _repeating(partial(_connect, gateway, head.encode() + b" " * 900_000, 5.0)):
        yield


@asynccontextmanager
async def readiness(gateway: Server) -> AsyncIterator[None]:
    """Clients without a key that ask for readiness."""
    head = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    async with _repeating(partial(_connect, gateway, head, 1.0)):
        yield


async def _connect(gateway: Server, sent: bytes, seconds: float) -> None:
    """Send these bytes over a connection, and leave after `seconds`, or 1 s after its end."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(LOOPBACK, urlsplit(gateway.url).port)
        try:
            async with asyncio.timeout(seconds):
                writer.write(sent)
                await reader.read()
                await asyncio.sleep(1)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def _repeating(do: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """A crowd that does it again and again while in the context."""

    async def member() -> None:
        while True:
            await do()
            await asyncio.sleep(0.1)

    async with AsyncExitStack() as stack:
        crowd = [asyncio.create_task(member()) for _ in range(CROWD)]
        stack.push_async_callback(asyncio.wait, crowd)
        for task in crowd:
            stack.callback(task.cancel)
        await asyncio.sleep(1)
        yield


NEIGHBOURS: Mapping[str, Neighbour] = {
    f"{MANY} callback hosts whose names hang": hanging_names,
    f"{MANY} callbacks to a receiver that hangs": silent_receiver,
    f"{CROWD} silent connections": silent_connections,
    f"{CROWD} forged hooks of 1 MiB": forged_hooks,
    f"{CROWD} anonymous GET /readyz": readiness,
}
