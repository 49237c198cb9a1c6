"""Call hooks at a steady rate for a minute: how long they wait, and whether one fails.

The gateway has one core to itself; its visitors and the fake LiveKit share the others.
"""

import asyncio
import gc
import statistics
import time

import aiohttp

from bench.hook_cost import call_hook, signed
from bench.parts import SECRET, Part
from bench.result import Result

RATE = 500
SECONDS = 60
WARM_UP = 2


async def measure(gateway: Part) -> list[Result]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await _hooks(session, gateway.url, WARM_UP)
        times, failures, late = await _hooks(session, gateway.url, SECONDS)
    # The slowest of 100, in ms; how late the hooks were sent is this process' own doing.
    p99 = statistics.quantiles(times, n=100)[98] * 1000
    spread = f"p50 {statistics.median(times) * 1000:.1f} ms, max {max(times) * 1000:.0f} ms"
    sent = f"{len(times)} sent, at most {late * 1000:.0f} ms late"
    return [
        Result(f"{RATE} hooks a second for {SECONDS} s, p99", p99, 50, "ms", f"{spread}, {sent}"),
        Result("  of them failed", failures, 0, "hooks"),
    ]


async def _hooks(
    session: aiohttp.ClientSession, url: str, seconds: float
) -> tuple[list[float], int, float]:
    """Each hook is sent at its moment, whatever became of those before.

    They are written before: this process shares its core with the fake.
    """
    written = [
        (body, signed(body, SECRET)) for body in (call_hook() for _ in range(int(seconds * RATE)))
    ]
    gc.freeze()  # nor does it look through them again and again
    times: list[float] = []
    failures, late = 0, 0.0

    async def hook(body: bytes, headers: dict[str, str]) -> None:
        nonlocal failures
        began = time.perf_counter()
        try:
            async with session.post(f"{url}/livekit-api", data=body, headers=headers) as answer:
                verbs = await answer.json()
                failures += verbs[0]["verb"] != "dial"
        except (aiohttp.ClientError, TimeoutError, ValueError):
            failures += 1
        times.append(time.perf_counter() - began)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, (body, headers) in enumerate(written):
            wait = start + number / RATE - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            late = max(late, -wait)
            group.create_task(hook(body, headers))
    return times, failures, late
