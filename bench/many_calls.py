"""Twenty thousand active calls: their memory, whether it stays as it is, what a list costs."""

import asyncio
import json
import statistics
import time
from collections import deque

import aiohttp
import psutil

from bench.hook_cost import Load, call_hook, signed
from bench.parts import SECRET, Part
from bench.result import Result

CALLS = 20_000
LISTINGS = 300
WARM_UP = 500
#: While as many are active others come and go, this many each time.
TURN = 2_000
TURNS = 15
AT_ONCE = 16


async def measure(gateway: Part) -> list[Result]:
    """`gateway` has no calls yet and keeps few that ended; its LiveKit takes every room."""
    process = psutil.Process(gateway.pid)
    empty = await _listing(gateway, expected=0)
    load = Calls(gateway)
    # What the first calls make Python and its allocator load is no call's own.
    await load.arrive(WARM_UP)
    before = process.memory_info().rss
    await load.arrive(CALLS - WARM_UP)
    full_rss = process.memory_info().rss
    full = await _listing(gateway, expected=CALLS)
    sizes = []
    for _ in range(TURNS):
        await load.arrive(TURN)
        await load.end(TURN)
        sizes.append(process.memory_info().rss)
    # Room for what has just ended is made in the first turns; from then on it is made no more.
    third = TURNS // 3
    growth = statistics.median(sizes[-third:]) / statistics.median(sizes[third : 2 * third])
    return [
        Result(
            f"first page of calls, {CALLS} active against none",
            full / empty,
            3.0,
            "x",
            f"{full * 1000:.2f} ms, empty {empty * 1000:.2f} ms",
        ),
        Result(
            "memory of an active call", (full_rss - before) / (CALLS - WARM_UP) / 1024, 3.0, "KB"
        ),
        Result(
            f"memory with {CALLS} active, later against earlier",
            growth,
            1.05,
            "x",
            f"{sizes[-1] / 1e6:.0f} MB; {TURNS * TURN} came and went meanwhile",
        ),
    ]


class Calls:
    """Calls that arrive, and end in the same order."""

    def __init__(self, gateway: Part) -> None:
        self._gateway = gateway
        self._sids: deque[str] = deque()

    async def arrive(self, number: int) -> None:
        def hook() -> bytes:
            body = call_hook()
            self._sids.append(json.loads(body)["call_sid"])
            return body

        await Load(self._gateway.url, self._gateway.pid).round(number, hook, SECRET)

    async def end(self, number: int) -> None:
        """Their callers hang up."""
        gone = iter([self._sids.popleft() for _ in range(number)])
        async with aiohttp.ClientSession() as session:

            async def client() -> None:
                for sid in gone:
                    await self._hang_up(session, sid)

            await asyncio.gather(*(client() for _ in range(AT_ONCE)))

    async def _hang_up(self, session: aiohttp.ClientSession, sid: str) -> None:
        over = {"call_sid": sid, "call_status": "no-answer", "sip_status": 487}
        body = json.dumps({**over, "call_termination_by": "caller"}).encode()
        url = f"{self._gateway.url}/livekit-api/call-status"
        async with session.post(url, data=body, headers=signed(body, SECRET)) as answer:
            assert answer.status == 204, await answer.text()


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
