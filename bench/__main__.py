"""`python -m bench [measurement …]`: prints a line for each result; 1 if a limit is missed."""

import asyncio
import math
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import uvloop

from bench import (
    at_once,
    conversations,
    dispatch_time,
    first_audio,
    history,
    hook_cost,
    many_calls,
    neighbours,
    open_pages,
    shared_redis,
    startup,
    steady_rate,
    whole_call,
)
from bench.hook_cost import Rival
from bench.machine import machine
from bench.processes import (
    BARE_AIOHTTP,
    BARE_FASTAPI,
    EXPRESS,
    FEW_ENDED,
    FULL_FASTAPI,
    GATEWAY,
    environment,
    fake_livekit,
    livekit,
    redis,
    serving,
    whole_calls,
)
from bench.result import Result
from tests.fakes.livekit import KEY, Callee, FakeLiveKit
from tests.fakes.livekit import SECRET as FAKE_SECRET
from tests.fakes.receiver import Receiver
from tests.history.postgres import postgres_server


def measure_hooks() -> Iterator[Result]:
    with livekit() as env:
        yield from startup.measure(env)
        # With an API key, too: without one it would check that each request is from this machine.
        authenticated = {**env, "GATEWAY_API_KEYS": "bench:dispatch:a-key-of-this-run"}
        with ExitStack() as servers, serving(GATEWAY, authenticated) as gateway:
            rivals = [
                Rival(name, servers.enter_context(serving(command, env)), limit)
                for name, (command, limit) in RIVALS.items()
                if command[0] != "node" or (EXPRESS / "node_modules").exists()
            ]
            yield from asyncio.run(hook_cost.measure(gateway, rivals))


def measure_whole() -> Iterator[Result]:
    yield from asyncio.run(_whole())


async def _whole() -> list[Result]:
    async with Receiver().serving() as receiver:
        with fake_livekit() as livekit:
            env = {**livekit, **whole_calls(receiver.url)}
            impatient = {**env, "GATEWAY__INBOUND__AGENT_TIMEOUT": f"{whole_call.PATIENCE:g}"}
            with serving(GATEWAY, env) as gateway, serving(GATEWAY, impatient) as other:
                return await whole_call.measure(gateway, other, receiver)


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


def measure_history() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        yield from history.measure("SQLite", f"sqlite:///{folder}/history.db")
    with postgres_server() as server:
        yield from history.measure("PostgreSQL", server.url)


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


#: What serves a call hook, and the gateway's CPU at most, as a multiple of its own.
RIVALS: Mapping[str, tuple[Sequence[str], float]] = {
    "a bare aiohttp handler": (BARE_AIOHTTP, 1.15),
    "a bare one that shares one token": ([*BARE_AIOHTTP, "--shared-token"], math.inf),
    "FastAPI that does the same": (FULL_FASTAPI, 0.7),
    "FastAPI, bare": (BARE_FASTAPI, math.inf),
    "Express, bare": (["node", str(EXPRESS / "server.js")], 0.5),
}

MEASUREMENTS: Mapping[str, Callable[[], Iterator[Result]]] = {
    "hooks": measure_hooks,
    "whole": measure_whole,
    "shared": measure_shared,
    "steady": measure_steady,
    "many": measure_many,
    "pages": measure_pages,
    "neighbours": measure_neighbours,
    "history": measure_history,
    "calls": measure_calls,
    "at_once": measure_at_once,
    "conversations": measure_conversations,
    "refused": measure_refused,
}


def main() -> int:
    # SIGTERM leaves the contexts, which stops the processes that they have started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(machine(), flush=True)
    all_met = True
    for name in sys.argv[1:] or MEASUREMENTS:
        for result in MEASUREMENTS[name]():
            print(result, flush=True)
            all_met = all_met and result.is_met
    return 0 if all_met else 1


sys.exit(main())
