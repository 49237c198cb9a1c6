"""Call hooks at a steady rate for a minute: their response times, and whether one fails.

The gateway has a core to itself; the fake LiveKit and this process share the others.
"""

import asyncio
import gc
import statistics
import time

import aiohttp

from bench.hooks import call_hook, signed
from bench.processes import Server
from bench.result import Result

#: Hooks a second; for how many seconds, and for how many before to warm up.
RATE = 500
SECONDS = 60
WARM_UP = 2


async def measure(gateway: Server) -> list[Result]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await send_hooks(session, gateway.url, WARM_UP)
        times, failures, delay = await send_hooks(session, gateway.url, SECONDS)
    # In ms. This process, not the gateway, delayed the hooks that it sent late.
    p99 = statistics.quantiles(times, n=100)[98] * 1000
    spread = f"p50 {statistics.median(times) * 1000:.1f} ms, max {max(times) * 1000:.0f} ms"
    sent = f"{len(times)} sent, at most {delay * 1000:.0f} ms late"
    return [
        Result(f"{RATE} hooks a second for {SECONDS} s, p99", p99, 50, "ms", f"{spread}, {sent}"),
        Result("  of them failed", failures, 0, "hooks"),
    ]


async def send_hooks(
    session: aiohttp.ClientSession, url: str, seconds: float, *, rate: int = RATE
) -> tuple[list[float], int, float]:
    """Send each hook at its time, whether the earlier ones are answered or not.

    Returns response times (s), the number of failures and the longest delay (s). The hooks are
    prepared first: this process shares its core with the fake LiveKit.
    """
    hooks = [(body, signed(body)) for body in (call_hook() for _ in range(int(seconds * rate)))]
    gc.freeze()  # the garbage collector need not check them
    times: list[float] = []
    failures, longest_delay = 0, 0.0

    async def send(body: bytes, headers: dict[str, str]) -> None:
        nonlocal failures
        start = time.perf_counter()
        try:
            async with session.post(f"{url}/livekit-api", data=body, headers=headers) as response:
                verbs = await response.json()
                failures += verbs[0]["verb"] != "dial"
        except (aiohttp.ClientError, TimeoutError, ValueError):
            failures += 1
        times.append(time.perf_counter() - start)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, (body, headers) in enumerate(hooks):
            wait = start + number / rate - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            longest_delay = max(longest_delay, -wait)
            group.create_task(send(body, headers))
    return times, failures, longest_delay
