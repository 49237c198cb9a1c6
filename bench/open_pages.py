"""What open pages cost the gateway, with calls coming and going, and with 20,000 active ones."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from bench.hooks import cpu_time
from bench.many_calls import Callers
from bench.processes import Server
from bench.result import Result

PAGES = 200
#: Calls that come, and as many that go, each second; for how many seconds.
CALLS_PER_SECOND = 5
SECONDS = 20
MANY = 20_000
#: After pages have been opened or closed, until the gateway has nothing left to do for that, in s.
SETTLING = 3.0
LOADS = 20


async def measure(gateway: Server) -> list[Result]:
    """`gateway` has no calls yet and stores few that ended; its LiveKit accepts every room."""
    callers = Callers(gateway)
    await callers.call(CALLS_PER_SECOND)
    results = [await _cost(gateway, callers, "few calls")]
    await callers.call(MANY)
    results.append(await _cost(gateway, callers, f"{MANY} active calls"))
    size, loading = await _page(gateway)
    return [
        *results,
        Result(f"page of the list, {MANY} active calls", size / 1000, 100, "KB"),
        Result(f"the same, CPU of one load beside {PAGES} pages", loading * 1000, 50, "ms"),
    ]


async def _cost(gateway: Server, callers: Callers, name: str) -> Result:
    """The share of a core that PAGES open pages cost beside the calls themselves."""
    without = await _share(gateway, callers)
    async with open_pages(gateway) as received:
        await asyncio.sleep(SETTLING)
        with_pages = await _share(gateway, callers)
    assert min(received) >= SECONDS // 2, "not all pages were told what changed"
    cost = 100 * (with_pages - without)
    detail = f"{100 * with_pages:.1f} % against {100 * without:.1f} % without a page"
    return Result(f"{PAGES} open pages, {name}", cost, 5.0, "% core", detail)


async def _share(gateway: Server, callers: Callers) -> float:
    """The share of a core that the gateway uses while calls come and go at a steady rate."""
    before, began = cpu_time(gateway.pid), time.perf_counter()
    for second in range(SECONDS):
        await callers.call(CALLS_PER_SECOND)
        await callers.hang_up(CALLS_PER_SECOND)
        await asyncio.sleep(max(0.0, began + second + 1 - time.perf_counter()))
    return (cpu_time(gateway.pid) - before) / (time.perf_counter() - began)


@asynccontextmanager
async def open_pages(gateway: Server) -> AsyncIterator[list[int]]:
    """PAGES pages that listen; yields how many messages each has received."""
    received = [0] * PAGES

    async def listen(session: aiohttp.ClientSession, number: int) -> None:
        async with session.get(f"{gateway.url}/live") as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                received[number] += line.startswith(b"event: update")

    # A line of an event may have the rows of many calls.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=2**20,
    ) as session:
        tasks = [asyncio.create_task(listen(session, number)) for number in range(PAGES)]
        await asyncio.sleep(SETTLING)
        yield received
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _page(gateway: Server) -> tuple[int, float]:
    """The bytes of the first page of the list, and the gateway's CPU time for one, in s."""
    async with aiohttp.ClientSession() as session:
        before = cpu_time(gateway.pid)
        for _ in range(LOADS):
            async with session.get(f"{gateway.url}/") as response:
                body = await response.read()
        return len(body), (cpu_time(gateway.pid) - before) / LOADS
