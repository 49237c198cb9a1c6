"""What a run leaves behind, once all calls are over or have had time enough to be."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.chaos.redis_contents import RedisContents, read_redis
from tests.chaos.scenario import number_of
from tests.chaos.simulated_call import SimulatedCall
from tests.chaos.simulation import Simulation
from tests.conftest import READ_KEY

#: How long the last calls and callbacks may take, in s, and how often they are checked.
END_TIMEOUT = 150.0
POLL_INTERVAL = 1.0
PAGE_SIZE = 200
#: A gateway that has much to do may take so long to respond.
RESPONSE_TIMEOUT = aiohttp.ClientTimeout(total=60)

View = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """`listed` are the ids of all calls, `calls` how gateways show them by id, `active` how many
    active calls each gateway counts. `running_tasks` of the simulation should have ended.
    """

    simulation: Simulation
    listed: list[str]
    calls: dict[str, View]
    active: dict[str, int]
    running_tasks: list[str]
    redis: RedisContents | None

    def simulated(self, call_id: str) -> SimulatedCall | None:
        """The simulated call with this id, None if there is none."""
        simulated = self.simulation.calls
        if call := self.calls.get(call_id):
            return simulated.get(number_of(call["account_code"]))
        return next((call for call in simulated.values() if call_id in call.rooms), None)


async def collect_outcome(simulation: Simulation) -> Outcome:
    """Wait until all calls are over and all callbacks delivered, at most `END_TIMEOUT`."""
    clock = simulation.clock
    deadline = clock.now + END_TIMEOUT
    while True:
        simulation.check()
        active = await _active(simulation)
        if not (simulation.tasks.names or simulation.livekit.live or any(active.values())):
            break
        if clock.now > deadline:
            break
        await asyncio.sleep(POLL_INTERVAL)
    listed = await _list_calls(simulation)
    calls = await _get_calls(simulation, listed)
    while pending := [call_id for call_id, call in calls.items() if not _is_settled(call)]:
        if clock.now > deadline:
            break
        await asyncio.sleep(POLL_INTERVAL)
        calls |= await _get_calls(simulation, pending)
    redis = await read_redis(simulation.redis.url) if simulation.redis else None
    active, tasks = await _active(simulation), simulation.tasks.names
    return Outcome(simulation, listed, calls, active, tasks, redis)


def _is_settled(call: View) -> bool:
    """Whether its last callback was sent, and all are delivered."""
    deliveries = call["deliveries"]
    if call["end_timestamp"] is not None and not deliveries:
        return True  # it was withdrawn: callbacks are stored together with the end
    has_last = any(delivery["event"] == "call_analyzed" for delivery in deliveries)
    return has_last and all(delivery["status"] == "delivered" for delivery in deliveries)


async def _active(simulation: Simulation) -> dict[str, int]:
    """The number of active calls by gateway, -1 where a gateway cannot count them."""
    responses = {
        gateway.name: await _get(simulation, gateway.url, "/livekit-api/calls?limit=1")
        for gateway in simulation.gateways.all
    }
    return {name: response.get("active", -1) for name, response in responses.items()}


async def _list_calls(simulation: Simulation) -> list[str]:
    """The ids of all calls."""
    path = f"/livekit-api/calls?include=ended&limit={PAGE_SIZE}"
    ids: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await _get(simulation, simulation.gateways.all[-1].url, f"{path}{cursor}")
        ids += [call["call_id"] for call in page["calls"]]
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
    return ids


async def _get_calls(simulation: Simulation, ids: Iterable[str]) -> dict[str, View]:
    """The calls that the gateways know, each requested from the next gateway."""
    gateways = simulation.gateways.all
    views = {
        call_id: await _get(
            simulation, gateways[index % len(gateways)].url, f"/livekit-api/calls/{call_id}"
        )
        for index, call_id in enumerate(ids)
    }
    return {call_id: view for call_id, view in views.items() if "timeline" in view}


async def _get(simulation: Simulation, url: str, path: str) -> View:
    async with simulation.session.get(
        f"{url}{path}", headers={"X-API-Key": READ_KEY}, timeout=RESPONSE_TIMEOUT
    ) as response:
        content: View = await response.json()
        return content
