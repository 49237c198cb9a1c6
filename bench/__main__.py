"""`python -m bench [part …]`: measures everything once, a line each; 1 if a limit is missed."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import uvloop

from bench import dispatch_time, first_audio, hook_cost, many_calls, shared, startup, steady
from bench.parts import (
    FEW_ENDED,
    FLOOR,
    GATEWAY,
    SECRET,
    environment,
    fake_livekit,
    livekit,
    redis,
    serving,
)
from bench.result import Result
from tests.fakes.livekit import KEY, Callee, FakeLiveKit
from tests.fakes.livekit import SECRET as FAKE_SECRET


def measure_hooks() -> Iterator[Result]:
    with livekit() as env:
        yield from startup.measure(env)
        with (
            serving(FLOOR, env) as floor,
            serving([*FLOOR, "--shared-token"], env) as sharing,
            serving(GATEWAY, env) as gateway,
        ):
            yield from asyncio.run(hook_cost.measure(floor, sharing, gateway, SECRET))


def measure_shared() -> Iterator[Result]:
    with (
        fake_livekit() as env,
        redis() as (database, url),
        serving(GATEWAY, env) as memory,
        serving(GATEWAY, {**env, "REDIS_URL": url}) as one,
        serving(GATEWAY, {**env, "REDIS_URL": url}) as other,
    ):
        yield from asyncio.run(shared.measure(memory, one, other, database))


def measure_steady() -> Iterator[Result]:
    with core_apart() as core, fake_livekit() as env, serving(GATEWAY, env) as gateway:
        os.sched_setaffinity(gateway.pid, {core})
        yield from uvloop.run(steady.measure(gateway))


def measure_many() -> Iterator[Result]:
    with fake_livekit() as env, serving(GATEWAY, {**env, **FEW_ENDED}) as gateway:
        yield from asyncio.run(many_calls.measure(gateway))


def measure_calls() -> Iterator[Result]:
    yield from asyncio.run(first_audio.measure())
    yield from asyncio.run(dispatch_time.measure_accepted())


def measure_refused() -> Iterator[Result]:
    yield from asyncio.run(_refused())


async def _refused() -> list[Result]:
    # The fake answers from this loop, so the waiting for the gateway is a thread's.
    async with FakeLiveKit().serving() as fake:
        fake.callees["61402012298"] = Callee(sip=(403, "Forbidden auth ID"))
        env = environment(fake.url, KEY, FAKE_SECRET) | {"SIP_OUTBOUND_TRUNK_ID": "ST_1"}

        def measure() -> list[Result]:
            with serving(GATEWAY, env) as gateway:
                return asyncio.run(dispatch_time.measure_refused(gateway))

        return await asyncio.to_thread(measure)


@contextmanager
def core_apart() -> Iterator[int]:
    """A core that neither this process nor what it starts uses, if there is more than one."""
    ours = os.sched_getaffinity(0)
    core = max(ours)
    os.sched_setaffinity(0, ours - {core} or ours)
    try:
        yield core
    finally:
        os.sched_setaffinity(0, ours)


PARTS: Mapping[str, Callable[[], Iterator[Result]]] = {
    "hooks": measure_hooks,
    "shared": measure_shared,
    "steady": measure_steady,
    "many": measure_many,
    "calls": measure_calls,
    "refused": measure_refused,
}


def main() -> int:
    # Whoever ends it ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    all_met = True
    for name in sys.argv[1:] or PARTS:
        for result in PARTS[name]():
            print(result, flush=True)
            all_met = all_met and result.is_met
    return 0 if all_met else 1


sys.exit(main())
