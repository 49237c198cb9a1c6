"""What one slow, dead or hostile neighbour of the gateway costs callers: added at p99.

Each measurement is a steady rate of call hooks with the neighbour, against one without.
"""

import asyncio
import os
import statistics
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import aiohttp

from bench.crowd import SIZE
from bench.processes import GATEWAY_BEHIND_NAME_SERVER, Server, fake_livekit, serving
from bench.result import Result
from bench.steady_rate import send_hooks
from gateway.config.settings import LOOPBACK
from gateway.tools.dev.processes import Process, python
from tests.fakes.name_server import NameServer

#: Hooks a second, for how many seconds, and how often without and with each neighbour.
RATE = 50
SECONDS = 6
ROUNDS = 3
#: Added at p99, in ms.
LIMIT = 100
NICE = ["nice", "-n", "19"]
#: So many callbacks at a time.
MANY = 50
HANGING = [f"h{number}.example.com" for number in range(MANY)]

Neighbour = Callable[[Server], AbstractAsyncContextManager[None]]


async def measure() -> list[Result]:
    async with NameServer(
        {f"h{number}.example.com": [] for number in range(MANY)}
    ).serving() as dns:
        env = {
            "NAME_SERVER": dns.address,
            "GATEWAY__CALLBACKS__ALLOWED_HOSTS": f"*.example.com,{LOOPBACK}",
            "GATEWAY__OUTBOUND__MAX_ACTIVE_CALLS": "10000",
            "GATEWAY__LIMITS__DISPATCH_BURST": "10000",
            "SIP_OUTBOUND_TRUNK_ID": "ST_1",
        }
        with (
            fake_livekit() as livekit,
            serving(GATEWAY_BEHIND_NAME_SERVER, {**livekit, **env}) as gateway,
        ):
            return await _measure(gateway)


async def _measure(gateway: Server) -> list[Result]:
    results = []
    for name, neighbour in NEIGHBOURS.items():
        alone, beside, failures = [], [], 0
        for _ in range(ROUNDS):
            alone.append((await _p99(gateway))[0])
            async with neighbour(gateway):
                p99, failed = await _p99(gateway)
            beside.append(p99)
            failures += failed
        before, after = statistics.median(alone), statistics.median(beside)
        detail = f"{before:.0f} ms alone, {after:.0f} ms beside it"
        results.append(Result(f"{name}: added at p99", after - before, LIMIT, "ms", detail))
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
async def crowd(kind: str, gateway: Server) -> AsyncIterator[None]:
    """Clients of this kind, in a process of their own: what it takes of the CPU is not measured."""
    command = NICE + python("-m", "bench.crowd", kind, str(urlsplit(gateway.url).port))
    process = Process(f"crowd of {kind}", command, os.environ)
    try:
        await asyncio.to_thread(process.wait_for, "crowded", limit=60)
        yield
    finally:
        process.stop()


NEIGHBOURS: Mapping[str, Neighbour] = {
    f"{MANY} callback hosts whose names hang": hanging_names,
    f"{MANY} callbacks to a receiver that hangs": silent_receiver,
    f"{SIZE} silent connections": partial(crowd, "silent"),
    f"{SIZE} forged hooks of 1 MB at a time": partial(crowd, "forged_hook"),
    f"{SIZE} anonymous GET /readyz at a time": partial(crowd, "readiness"),
}
