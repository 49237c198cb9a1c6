"""What a Redis that gateways share costs each call hook, and how far two of them reach."""

import asyncio
import os
import statistics
from collections import deque

from bench.hook_cost import Load, call_hook, cpu_time, ratio
from bench.parts import SECRET, Part
from bench.result import Result

ROUND = 250
ROUNDS = 14
WARM_UP = 100
#: Two gateways, Redis, the fake LiveKit and their visitors, each with a core.
CORES = 5


async def measure(memory: Part, one: Part, other: Part, redis: Part) -> list[Result]:
    """`memory` is a gateway alone, `one` and `other` share `redis`."""
    loads = deque(Load(part.url, part.pid) for part in (memory, one, other))
    alone, first, second = loads
    for load in loads:
        await load.round(WARM_UP, call_hook, SECRET)
        load.forget()
    redis_cpu = []
    for _ in range(ROUNDS):
        for load in (alone, first):
            before = cpu_time(redis.pid)
            await load.round(ROUND, call_hook, SECRET)
            if load is first:
                redis_cpu.append((cpu_time(redis.pid) - before) / ROUND)
    single_cpu, single_time = statistics.median(first.cpu), statistics.median(first.elapsed)
    paid = ratio(first, alone)
    first.forget()
    for _ in range(ROUNDS):
        await asyncio.gather(*(each.round(ROUND, call_hook, SECRET) for each in (first, second)))
    both_cpu = statistics.median(first.cpu + second.cpu)
    both_time = statistics.median(first.elapsed + second.elapsed)
    # Where all have to share few cores, throughput says nothing: then what a hook costs counts.
    reach = 2 * (single_time / both_time if cores() >= CORES else single_cpu / both_cpu)
    how = "hooks a second" if cores() >= CORES else f"CPU a hook, for want of {CORES} cores"
    us = f"{single_cpu * 1e6:.0f} us, Redis itself {statistics.median(redis_cpu) * 1e6:.0f} us"
    return [
        Result("POST /livekit-api with Redis: CPU, against memory", paid, 2.0, "x", us),
        Result(
            "one gateway with Redis, of what two reach",
            1 / reach,
            1 / 1.7,
            "x",
            f"two reach {reach:.2f} x, by {how}",
        ),
    ]


def cores() -> int:
    return len(os.sched_getaffinity(0))
