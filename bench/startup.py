"""The time from the start of the gateway's process until it listens."""

import os
import statistics
import time
from collections.abc import Mapping

from bench.processes import GATEWAY
from bench.result import Result
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.processes import Process

STARTS = 5


def measure(env: Mapping[str, str]) -> list[Result]:
    times = []
    for _ in range(STARTS):
        start = time.perf_counter()
        own = {"PORT": str(free_port()), "HISTORY_URL": "none"}
        gateway = Process("gateway", GATEWAY, {**env, **own})
        try:
            gateway.wait_for("gateway.listening", limit=30)
            times.append(time.perf_counter() - start)
        finally:
            gateway.stop()
    spread = f"{STARTS} starts, {min(times):.2f} to {max(times):.2f} s, {os.cpu_count()} CPUs"
    return [Result("process start to listening, p50", statistics.median(times), 1.0, "s", spread)]
