"""From starting the gateway's process to its listening."""

import os
import statistics
import time
from collections.abc import Mapping

from bench.result import Result
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.processes import Process, python

TRIES = 5


def measure(env: Mapping[str, str]) -> list[Result]:
    times = []
    for _ in range(TRIES):
        began = time.perf_counter()
        child = Process(
            "gateway", python("-m", "gateway", "serve"), {**env, "PORT": str(free_port())}
        )
        try:
            child.wait_for("gateway.listening", limit=30)
            times.append(time.perf_counter() - began)
        finally:
            child.stop()
    spread = f"{TRIES} starts, {min(times):.2f} to {max(times):.2f} s, {os.cpu_count()} CPUs"
    return [Result("process start to listening, p50", statistics.median(times), 1.0, "s", spread)]
