"""Calls that come at once, with a real LiveKit: how long until each has its agent."""

import asyncio
import statistics
from typing import Any

import aiohttp

from bench.processes import SECRET, without_livekit
from bench.result import Result
from gateway.config.loader import build_config
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.stack import running
from gateway.tools.simulate.jambonz import Jambonz

#: Idle processes of the worker, calls at once, and the limit of their p50 in s.
CASES = ((2, 8, 6.0), (8, 8, 3.0), (2, 16, 10.0), (16, 16, 6.0))
#: How long a call may take, and how long the worker has to settle after the first, in s.
LIMIT = 25.0
SETTLING = 5.0


async def measure() -> list[Result]:
    return [await _measure(*case) for case in CASES]


async def _measure(idle: int, calls: int, limit: float) -> Result:
    """Only hooks: callers who spoke would take the CPU that is measured."""
    env = {
        **without_livekit(),
        "JAMBONZ_WEBHOOK_SECRET": SECRET,
        "GATEWAY_API_KEYS": "",
        "PORT": str(free_port()),
        "AGENT_IDLE_PROCESSES": str(idle),
        "AGENT_MAX_IDLE_PROCESSES": str(idle),
    }
    with running(build_config({}, env), env) as stack:
        url = build_config({}, stack.env).own_url
        async with aiohttp.ClientSession() as session:
            await _call(session, url)  # the first call loads what later ones have
            await asyncio.sleep(SETTLING)
            times = await asyncio.gather(*(_call(session, url) for _ in range(calls)))
    answered = sorted(time for time in times if time is not None)
    return Result(
        f"{calls} calls at once, {idle} idle processes: hook to agent, p50",
        statistics.median(answered),
        limit,
        "s",
        f"{len(answered)} of {calls} have one, the last after {answered[-1]:.1f} s",
    )


async def _call(session: aiohttp.ClientSession, url: str) -> float | None:
    """After how many s the agent was ready, upon which LiveKit answers; None if it was not."""
    jambonz = Jambonz(session, url, SECRET, "+15550100", "+15550199")
    (dial,) = await jambonz.call_arrives()
    call_url = f"{url}/livekit-api/calls/{dial['headers']['X-Call-Id']}"
    loop = asyncio.get_running_loop()
    deadline, ready = loop.time() + LIMIT, None
    while ready is None and loop.time() < deadline:
        await asyncio.sleep(0.3)
        ready = await _ready_after(session, call_url)
    await jambonz.status("no-answer", 487)
    return ready


async def _ready_after(session: aiohttp.ClientSession, url: str) -> float | None:
    async with session.get(url) as response:
        timeline: list[dict[str, Any]] = (await response.json())["timeline"]
    at = next((entry["at"] for entry in timeline if entry["event"] == "agent_ready"), None)
    return (at - timeline[0]["at"]) / 1000 if at else None
