"""The time from the call hook to the agent's first audio, with a real LiveKit and a warm worker."""

import statistics

from bench.processes import SECRET, without_livekit
from bench.result import Result
from gateway.config.loader import build_config, own_keys
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.stack import running
from gateway.tools.simulate.inbound import Script, play
from gateway.tools.simulate.steps import Steps

CALLS = 20


async def measure() -> list[Result]:
    env = {
        **without_livekit(),
        "JAMBONZ_WEBHOOK_SECRET": SECRET,
        "GATEWAY_API_KEYS": "",
        "PORT": str(free_port()),
    }
    times: list[float] = []
    with running(build_config({}, env), env) as stack:
        config = build_config({}, stack.env)
        keys = own_keys(config, stack.env)
        for _ in range(CALLS):
            steps = Steps()
            # Each call lasts a second, in which the worker warms up the next process.
            await play(config, keys, config.own_url, Script(hold=1.0), steps)
            times.append(steps.done["agent heard"])
    spread = f"{CALLS} calls, {min(times):.2f} to {max(times):.2f} s"
    return [Result("hook to first agent audio, p50", statistics.median(times), 0.7, "s", spread)]
