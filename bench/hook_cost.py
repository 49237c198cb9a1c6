"""What a call hook costs, beside a bare handler that makes the same CreateRoom request."""

import math
import statistics
from collections import deque

from bench.hooks import IN_FLIGHT, Load, call_hook, cpu_ratio
from bench.processes import Server
from bench.result import Result

#: Requests per round, rounds, and requests that warm up each server.
ROUND = 250
ROUNDS = 18
WARM_UP = 100


async def measure(bare: Server, bare_shared_token: Server, gateway: Server) -> list[Result]:
    """The servers take turns, so that all run under the same conditions.

    `bare` and `bare_shared_token` are `bench.bare_handler`.
    """
    reference, lean, measured = (Load(server) for server in (bare, bare_shared_token, gateway))
    for load in (reference, lean, measured):
        await load.run_round(WARM_UP, call_hook)
        load.reset()
    order = deque([reference, lean, measured])
    for _ in range(ROUNDS):
        for load in order:
            await load.run_round(ROUND, call_hook)
        order.rotate()  # none is always the first, or always after the slowest
    cpu = f"{_us(measured.cpu)} a request, bare"
    added = statistics.median(a - b for a, b in zip(measured.p50, reference.p50, strict=True))
    return [
        Result(
            "POST /livekit-api: CPU, against a bare handler",
            cpu_ratio(measured, reference),
            1.25,
            "x",
            f"{cpu} {_us(reference.cpu)}",
        ),
        Result(
            "  against a bare one that shares one token",
            cpu_ratio(measured, lean),
            math.inf,
            "x",
            f"{cpu} {_us(lean.cpu)}",
        ),
        Result(
            f"POST /livekit-api: added at p50, {IN_FLIGHT} in flight",
            added * 1000,
            2.0,
            "ms",
            f"{_ms(measured.p50)}, bare {_ms(reference.p50)}",
        ),
    ]


def _us(times: list[float]) -> str:
    return f"{statistics.median(times) * 1e6:.0f} us"


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.2f} ms"
