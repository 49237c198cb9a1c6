"""Twenty thousand active calls: their memory, whether it stays the same, what listing costs."""

import asyncio
import json
import statistics
import time
from collections import deque

import aiohttp
import psutil

from bench.hooks import IN_FLIGHT, Load, call_hook, signed
from bench.processes import Server
from bench.result import Result

CALLS = 20_000
LISTINGS = 300
WARM_UP = 500
#: While CALLS are active, more calls arrive and as many end: so many each time, so many times.
BATCH = 2_000
BATCHES = 15


async def measure(gateway: Server) -> list[Result]:
    """`gateway` has no calls yet and stores few that ended; its LiveKit accepts every room."""
    process = psutil.Process(gateway.pid)
    empty = await _listing_time(gateway, expected=0)
    callers = Callers(gateway)
    # The first calls make Python load modules and allocate arenas, which is not the calls' memory.
    await callers.call(WARM_UP)
    before = process.memory_info().rss
    await callers.call(CALLS - WARM_UP)
    per_call = (process.memory_info().rss - before) / (CALLS - WARM_UP)
    full = await _listing_time(gateway, expected=CALLS)
    sizes = []
    for _ in range(BATCHES):
        await callers.call(BATCH)
        await callers.hang_up(BATCH)
        sizes.append(process.memory_info().rss)
    # In the first batches the gateway still allocates memory for ended calls, later no more.
    third = BATCHES // 3
    growth = statistics.median(sizes[-third:]) / statistics.median(sizes[third : 2 * third])
    return [
        Result(
            f"first page of calls, {CALLS} active against none",
            full / empty,
            3.0,
            "x",
            f"{full * 1000:.2f} ms, empty {empty * 1000:.2f} ms",
        ),
        Result("memory of an active call", per_call / 1024, 3.0, "KB"),
        Result(
            f"memory with {CALLS} active, later against earlier",
            growth,
            1.05,
            "x",
            f"{sizes[-1] / 1e6:.0f} MB; {BATCHES * BATCH} came and went meanwhile",
        ),
    ]


class Callers:
    """Callers who call, and who hang up in the same order."""

    def __init__(self, gateway: Server) -> None:
        self._gateway = gateway
        self._sids: deque[str] = deque()

    async def call(self, number: int) -> None:
        def new_hook() -> bytes:
            body = call_hook()
            self._sids.append(json.loads(body)["call_sid"])
            return body

        await Load(self._gateway).run_round(number, new_hook)

    async def hang_up(self, number: int) -> None:
        sids = iter([self._sids.popleft() for _ in range(number)])
        async with aiohttp.ClientSession() as session:

            async def client() -> None:
                for sid in sids:
                    await self._send_status(session, sid)

            await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))

    async def _send_status(self, session: aiohttp.ClientSession, sid: str) -> None:
        status = {"call_sid": sid, "call_status": "no-answer", "sip_status": 487}
        body = json.dumps({**status, "call_termination_by": "caller"}).encode()
        url = f"{self._gateway.url}/livekit-api/call-status"
        async with session.post(url, data=body, headers=signed(body)) as response:
            assert response.status == 204, await response.text()


async def _listing_time(gateway: Server, *, expected: int) -> float:
    """The median response time of a first page, in s."""
    times = []
    async with aiohttp.ClientSession() as session:
        for _ in range(LISTINGS):
            start = time.perf_counter()
            async with session.get(f"{gateway.url}/livekit-api/calls") as response:
                body = await response.read()
            times.append(time.perf_counter() - start)
            await asyncio.sleep(0)
    assert f'"active": {expected}'.encode() in body
    return statistics.median(times)
