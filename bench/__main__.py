"""`python -m bench [measurement …]`: prints a line for each result; 1 if a limit is missed."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import uvloop

from bench import (
    at_once,
    conversations,
    dispatch_time,
    first_audio,
    hook_cost,
    many_calls,
    neighbours,
    open_pages,
    shared_redis,
    startup,
    steady_rate,
)
from bench.processes import (
    BARE_HANDLER,
    FEW_ENDED,
    GATEWAY,
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
            serving(BARE_HANDLER, env) as bare,
            serving([*BARE_HANDLER, "--shared-token"], env) as bare_shared_token,
            serving(GATEWAY, env) as gateway,
        ):
            yield from asyncio.run(hook_cost.measure(bare, bare_shared_token, gateway))


def measure_shared() -> Iterator[Result]:
    with (
        fake_livekit() as env,
        redis() as (redis_pid, url),
        serving(GATEWAY, env) as in_memory,
        serving(GATEWAY, {**env, "REDIS_URL": url}) as first,
        serving(GATEWAY, {**env, "REDIS_URL": url}) as second,
    ):
        yield from asyncio.run(shared_redis.measure(in_memory, first, second, redis_pid))


def measure_steady() -> Iterator[Result]:
    with spare_core() as core, fake_livekit() as env, serving(GATEWAY, env) as gateway:
        os.sched_setaffinity(gateway.pid, {core})
        yield from uvloop.run(steady_rate.measure(gateway))


def measure_many() -> Iterator[Result]:
    with fake_livekit() as env, serving(GATEWAY, {**env, **FEW_ENDED}) as gateway:
        yield from asyncio.run(many_calls.measure(gateway))


def measure_pages() -> Iterator[Result]:
    patient = {**FEW_ENDED, "GATEWAY__LIVEKIT__TIMEOUT": "8"}
    with fake_livekit() as env, serving(GATEWAY, {**env, **patient}) as gateway:
        yield from asyncio.run(open_pages.measure(gateway))


def measure_neighbours() -> Iterator[Result]:
    yield from uvloop.run(neighbours.measure())


def measure_calls() -> Iterator[Result]:
    yield from asyncio.run(first_audio.measure())
    yield from asyncio.run(dispatch_time.measure_audible())


def measure_conversations() -> Iterator[Result]:
    yield from asyncio.run(conversations.measure())


def measure_at_once() -> Iterator[Result]:
    yield from asyncio.run(at_once.measure())


def measure_refused() -> Iterator[Result]:
    yield from asyncio.run(_refused())


async def _refused() -> list[Result]:
    # The fake runs in this event loop, so a thread starts the gateway and waits for it.
    async with FakeLiveKit().serving() as fake:
        fake.callees["61491570156"] = Callee(sip=(403, "Forbidden auth ID"))
        env = environment(fake.url, KEY, FAKE_SECRET) | {"SIP_OUTBOUND_TRUNK_ID": "ST_1"}

        webhooks = dispatch_time.AgentWebhooks(fake)

        def measure() -> list[Result]:
            with serving(GATEWAY, env) as gateway:
                webhooks.url = gateway.url
                return asyncio.run(dispatch_time.measure_refused(gateway))

        return await asyncio.to_thread(measure)


@contextmanager
def spare_core() -> Iterator[int]:
    """A core that this process and its children do not use; the only one if there is but one."""
    cores = os.sched_getaffinity(0)
    core = max(cores)
    os.sched_setaffinity(0, cores - {core} or cores)
    try:
        yield core
    finally:
        os.sched_setaffinity(0, cores)


MEASUREMENTS: Mapping[str, Callable[[], Iterator[Result]]] = {
    "hooks": measure_hooks,
    "shared": measure_shared,
    "steady": measure_steady,
    "many": measure_many,
    "pages": measure_pages,
    "neighbours": measure_neighbours,
    "calls": measure_calls,
    "at_once": measure_at_once,
    "conversations": measure_conversations,
    "refused": measure_refused,
}


def main() -> int:
    # SIGTERM leaves the contexts, which stops the processes that they have started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    all_met = True
    for name in sys.argv[1:] or MEASUREMENTS:
        for result in MEASUREMENTS[name]():
            print(result, flush=True)
            all_met = all_met and result.is_met
    return 0 if all_met else 1


sys.exit(main())
