"""Calls that come at once, with a real LiveKit: how long until the last caller has an agent."""

import asyncio
import contextlib
import statistics

from bench.processes import SECRET, without_livekit
from bench.result import Result
from gateway.config.loader import build_config, own_keys
from gateway.config.settings import Config
from gateway.security.api_keys import OwnKeys
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.stack import running
from gateway.tools.simulate.inbound import Script, play
from gateway.tools.simulate.steps import StepFailed, Steps

#: Idle processes of the worker, and calls at once.
CASES = ((2, 8), (8, 8), (2, 16), (16, 16))
#: How long the worker may take to have its processes warm again, in s.
PAUSE = 10.0


async def measure() -> list[Result]:
    return [result for idle, calls in CASES for result in await _measure(idle, calls)]


async def _measure(idle: int, calls: int) -> list[Result]:
    env = {
        **without_livekit(),
        "JAMBONZ_WEBHOOK_SECRET": SECRET,
        "GATEWAY_API_KEYS": "",
        "PORT": str(free_port()),
        "AGENT_IDLE_PROCESSES": str(idle),
        "AGENT_MAX_IDLE_PROCESSES": str(idle),
    }
    with running(build_config({}, env), env) as stack:
        config = build_config({}, stack.env)
        keys = own_keys(config, stack.env)
        await _call(config, keys)  # the first call of a machine loads what later ones have
        await asyncio.sleep(PAUSE)
        times = await asyncio.gather(*(_call(config, keys) for _ in range(calls)))
    answered = sorted(time for time in times if time is not None)
    name = f"{calls} calls at once, {idle} idle processes: hook to agent, p50"
    spread = f"{len(answered)} of {calls} answered, the last after {answered[-1]:.1f} s"
    limit = 5.0 if idle >= calls else 15.0
    return [Result(name, statistics.median(answered), limit, "s", spread)]


async def _call(config: Config, keys: OwnKeys) -> float | None:
    """After how many s the agent's audio was in the room, upon which LiveKit answers."""
    steps = Steps()
    with contextlib.suppress(StepFailed):
        await play(config, keys, config.own_url, Script(hold=1.0), steps)
    return steps.done.get("agent in the room")
