"""How busy a worker says it is, which decides whether LiveKit gives it the next call."""

import math
from collections.abc import Callable

from livekit.agents import AgentServer
from livekit.agents.worker import _DefaultLoadCalc

from agent.settings import WorkerSettings

#: The load of a worker that takes no further call. LiveKit gives none to a worker with more than
#: its own `agents.target_load`, which is 0.7 by default.
FULL = 0.7


def load_of(settings: WorkerSettings, calls: Callable[[], int]) -> Callable[[AgentServer], float]:
    """From 0 to FULL: `calls()` of those there may be, or else the CPU's share of its threshold."""
    threshold, most = settings.load_threshold, settings.max_calls
    if most:
        return lambda _: FULL * (calls() / most)
    if math.isinf(threshold):
        return lambda _: 0.0
    return lambda server: FULL * (_DefaultLoadCalc.get_load(server) / threshold)
