"""What a Redis that gateways share costs each call hook, and how much two gateways can do."""

import asyncio
import os
import statistics

from bench.hooks import Load, call_hook, cpu_ratios, cpu_time
from bench.processes import Server
from bench.result import Result

#: Requests per round, rounds, and requests that warm up each gateway.
ROUND = 250
ROUNDS = 14
WARM_UP = 100
#: Two gateways, Redis, the fake LiveKit and their client: a core each.
CORES = 5


async def measure(in_memory: Server, first: Server, second: Server, redis_pid: int) -> list[Result]:
    """`in_memory` is a gateway without Redis; `first` and `second` share it."""
    loads = reference, shared, second_shared = Load(in_memory), Load(first), Load(second)
    for load in loads:
        await load.run_round(WARM_UP, call_hook)
        load.reset()
    redis_cpu = []
    for _ in range(ROUNDS):
        await reference.run_round(ROUND, call_hook)
        before = cpu_time(redis_pid)
        await shared.run_round(ROUND, call_hook)
        redis_cpu.append((cpu_time(redis_pid) - before) / ROUND)
    single_cpu, single_time = statistics.median(shared.cpu), statistics.median(shared.elapsed)
    cost = statistics.median(cpu_ratios(shared, reference))
    shared.reset()
    for _ in range(ROUNDS):
        await asyncio.gather(
            *(load.run_round(ROUND, call_hook) for load in (shared, second_shared))
        )
    cpu_of_two = statistics.median(shared.cpu + second_shared.cpu)
    time_of_two = statistics.median(shared.elapsed + second_shared.elapsed)
    # With fewer cores the processes wait for each other: then the CPU per hook is compared.
    has_cores = len(os.sched_getaffinity(0)) >= CORES
    scaling = 2 * (single_time / time_of_two if has_cores else single_cpu / cpu_of_two)
    basis = "hooks a second" if has_cores else f"CPU a hook, for want of {CORES} cores"
    us = f"{single_cpu * 1e6:.0f} us, Redis itself {statistics.median(redis_cpu) * 1e6:.0f} us"
    return [
        Result("POST /livekit-api with Redis: CPU, against memory", cost, 2.0, "x", us),
        Result(
            "one gateway with Redis, of what two reach",
            1 / scaling,
            1 / 1.7,
            "x",
            f"two reach {scaling:.2f} x, by {basis}",
        ),
    ]
