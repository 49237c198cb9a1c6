"""Ten thousand active calls: what they cost in memory and what the list costs with them."""

import asyncio
import statistics
import time

import aiohttp
import psutil

from bench.hook_cost import Load, call_hook
from bench.parts import SECRET, Part
from bench.result import Result

CALLS = 10_000
LISTINGS = 300
WARM_UP = 500


async def measure(gateway: Part) -> list[Result]:
    """`gateway` has no calls yet; its LiveKit takes every room."""
    empty = await _listing(gateway, expected=0)
    load = Load(gateway.url, gateway.pid)
    # What the first calls make Python and its allocator load is no call's own.
    await load.round(WARM_UP, call_hook, SECRET)
    before = psutil.Process(gateway.pid).memory_info().rss
    await load.round(CALLS - WARM_UP, call_hook, SECRET)
    after = psutil.Process(gateway.pid).memory_info().rss
    full = await _listing(gateway, expected=CALLS)
    return [
        Result(
            f"first page of calls, {CALLS} active against none",
            full / empty,
            3.0,
            "x",
            f"{full * 1000:.2f} ms, empty {empty * 1000:.2f} ms",
        ),
        Result("memory of an active call", (after - before) / (CALLS - WARM_UP) / 1024, 3.0, "KB"),
    ]


async def _listing(gateway: Part, *, expected: int) -> float:
    """The median time of a first page, in s."""
    times = []
    async with aiohttp.ClientSession() as session:
        for _ in range(LISTINGS):
            began = time.perf_counter()
            async with session.get(f"{gateway.url}/livekit-api/calls") as answer:
                body = await answer.read()
            times.append(time.perf_counter() - began)
            await asyncio.sleep(0)
    assert f'"active": {expected}'.encode() in body
    return statistics.median(times)
