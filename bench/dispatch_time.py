"""From `POST /dispatch` to its answer: a job accepted by a warm worker, and a refused caller ID."""

import asyncio
import statistics
import time
from typing import Any

import aiohttp

from bench.parts import Part, without_livekit
from bench.result import Result
from gateway.config.loader import build_config
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.stack import running

CALLS = 20
ORDER = {"destination": "61402012298", "account_code": "bench", "wait": "none"}


async def measure_accepted() -> list[Result]:
    """On real parts; the SIP leg is left to the agent, so the answer comes with the job."""
    env = {
        **without_livekit(),
        "GATEWAY_API_KEYS": "",
        "GATEWAY__OUTBOUND__DIALED_BY": "agent",
        "PORT": str(free_port()),
    }
    times: list[float] = []
    config = build_config({}, env)
    with running(config, env):
        async with aiohttp.ClientSession() as session:
            for _ in range(CALLS):
                took, answer = await _dispatch(session, config.own_url, 200)
                times.append(took)
                url = f"{config.own_url}/livekit-api/calls/{answer['call_id']}/hangup"
                async with session.post(url):
                    pass
                await asyncio.sleep(1)  # the worker warms the next process
    spread = f"{CALLS} calls, {min(times):.2f} to {max(times):.2f} s"
    return [Result("dispatch to job accepted, p50", statistics.median(times), 0.5, "s", spread)]


async def measure_refused(gateway: Part) -> list[Result]:
    """`gateway`'s LiveKit refuses the caller ID as soon as it is asked to dial."""
    async with aiohttp.ClientSession() as session:
        times = [(await _dispatch(session, gateway.url, 502))[0] for _ in range(CALLS)]
    spread = f"{CALLS} calls, {min(times):.3f} to {max(times):.3f} s"
    return [Result("refused caller ID to its 502, slowest", max(times), 1.0, "s", spread)]


async def _dispatch(
    session: aiohttp.ClientSession, url: str, status: int
) -> tuple[float, dict[str, Any]]:
    order = {**ORDER, "wait": "early"} if status == 502 else ORDER
    began = time.perf_counter()
    async with session.post(f"{url}/dispatch", json=order) as answer:
        content: dict[str, Any] = await answer.json()
        assert answer.status == status, content
    return time.perf_counter() - began, content
