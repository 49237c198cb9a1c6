"""`python -m bench`: measures everything once, a line each; 1 if a limit is missed."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from bench import dispatch_time, first_audio, hook_cost, many_calls, startup
from bench.parts import SECRET, Part, environment, livekit, serving
from bench.result import Result
from gateway.dev.children import python
from tests.fakes.livekit import KEY, Callee, FakeLiveKit
from tests.fakes.livekit import SECRET as FAKE_SECRET

GATEWAY = python("-m", "gateway", "serve")
FLOOR = python("-m", "bench.floor")


async def main() -> int:
    results: list[Result] = []

    def add(measured: Iterable[Result]) -> None:
        for result in measured:
            print(result, flush=True)
            results.append(result)

    with livekit() as env:
        add(startup.measure(env))
        with (
            serving(FLOOR, env) as floor,
            serving([*FLOOR, "--shared-token"], env) as sharing,
            serving(GATEWAY, env) as gateway,
        ):
            add(await hook_cost.measure(floor, sharing, gateway, SECRET))
    add(await first_audio.measure())
    add(await dispatch_time.measure_accepted())
    # The fake answers from this loop, so the waiting for the gateway is a thread's.
    async with FakeLiveKit().serving() as fake:
        env = environment(fake.url, KEY, FAKE_SECRET)
        add(await asyncio.to_thread(measure_with, many_calls.measure, env))
        fake.callees["61402012298"] = Callee(sip=(403, "Forbidden auth ID"))
        dialing = env | {"SIP_OUTBOUND_TRUNK_ID": "ST_1"}
        add(await asyncio.to_thread(measure_with, dispatch_time.measure_refused, dialing))
    return 0 if all(result.is_met for result in results) else 1


def measure_with(
    measure: Callable[[Part], Coroutine[Any, Any, list[Result]]], env: Mapping[str, str]
) -> list[Result]:
    with serving(GATEWAY, env) as gateway:
        return asyncio.run(measure(gateway))


sys.exit(asyncio.run(main()))
