"""One simulated call: its scenario, what really happened in it, and what went wrong."""

import asyncio
import math
from collections.abc import Callable

from tests.chaos.clock import ResponsiveClock
from tests.chaos.network import Network, Response, Sender
from tests.chaos.scenario import Scenario
from tests.chaos.seeded_random import SeededRandom
from tests.chaos.tasks import Tasks


class SimulatedCall:
    """`rooms`: those that LiveKit was asked to create for it; `answered_rooms` were answered.

    `is_answered_by_fallback`: outside of any room. `dialed_rooms`: those whose callee's telephone
    rang. `rejection`: why its caller was not connected. `dispatch_responses`: what n8n received.
    `problems` are findings.
    """

    def __init__(
        self,
        scenario: Scenario,
        seeded: SeededRandom,
        network: Network,
        tasks: Tasks,
        clock: ResponsiveClock,
    ) -> None:
        self.scenario = scenario
        self.random = seeded
        self.network = network
        self.tasks = tasks
        self.clock = clock
        self.sender = Sender(seeded, network)
        self.rooms: set[str] = set()
        self.answered_rooms: set[str] = set()
        self.is_answered_by_fallback = False
        self.dialed_rooms: list[str] = []
        self.dispatch_responses: list[Response] = []
        self.rejection = ""
        self.problems: list[str] = []
        self._change = asyncio.Event()

    def changed(self) -> None:
        """Something happened that another party may wait for."""
        self._change.set()
        self._change = asyncio.Event()

    async def wait_until(
        self, condition: Callable[[], object], *, limit: float | None = None
    ) -> bool:
        """Wait until `condition` holds; False if it did not within `limit` s of the clock."""
        end = math.inf
        if limit is not None:
            end = self.clock.now + limit
            self.clock.call_at(end, self.changed)
        while not (holds := bool(condition())) and self.clock.now < end:
            await self._change.wait()
        return holds
