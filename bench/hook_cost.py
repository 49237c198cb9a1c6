"""What a call hook costs, beside other servers that do the same, or less.

All are up at once and driven in turn, a second each. From run to run CPU time varies by half and
more; between two seconds that follow each other it hardly does, so ratios are taken there.
"""

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from bench.hooks import IN_FLIGHT, SLICE, Load, call_hook, cpu_ratios
from bench.processes import Server
from bench.result import Result

#: Slices of each server, and those before them, in which it warms up.
SLICES = 12
WARM_UP = 2


@dataclass(frozen=True)
class Rival:
    """`limit`: the gateway's CPU, as a multiple of the rival's."""

    name: str
    server: Server
    limit: float = math.inf


async def measure(gateway: Server, rivals: Sequence[Rival]) -> list[Result]:
    """The first of `rivals` is the floor, to which the response time is compared as well."""
    measured, references = Load(gateway), [Load(rival.server) for rival in rivals]
    order = deque([measured, *references])
    for number in range(WARM_UP + SLICES):
        for load in order:
            if number == WARM_UP:
                load.reset()
            await load.run_slice(call_hook)
        order.rotate()  # none is always the first, or always after the slowest
    floor = references[0]
    added = statistics.median(a - b for a, b in zip(measured.p50, floor.p50, strict=True))
    method = f"{SLICES} slices of {SLICE:g} s, in turn, {IN_FLIGHT} in flight"
    return [
        Result("POST /livekit-api: CPU of a call hook", _ms(measured.cpu), math.inf, "ms", method),
        *(_compared(measured, load, rival) for rival, load in zip(rivals, references, strict=True)),
        Result(
            f"POST /livekit-api: added at p50, {IN_FLIGHT} in flight",
            added * 1000,
            2.0,
            "ms",
            f"{_ms(measured.p50):.2f} ms, {rivals[0].name} {_ms(floor.p50):.2f} ms",
        ),
    ]


def _compared(measured: Load, load: Load, rival: Rival) -> Result:
    ratios = cpu_ratios(measured, load)
    low, _, high = statistics.quantiles(ratios, n=4)
    detail = f"{_ms(load.cpu):.2f} ms; half of the slices {low:.2f} to {high:.2f}"
    return Result(f"  against {rival.name}", statistics.median(ratios), rival.limit, "x", detail)


def _ms(times: list[float]) -> float:
    return statistics.median(times) * 1000
