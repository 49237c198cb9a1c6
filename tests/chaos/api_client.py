"""A client of the gateway's API that ends or transfers calls."""

import asyncio

from tests.chaos.rooms import SimulatedRoom
from tests.chaos.scenario import Ending
from tests.conftest import DISPATCH_KEY

#: How often it sends a request that the gateway cannot take yet, and the pause between, in s.
ATTEMPTS = 8
PAUSE = 1.0
HEADERS = {"X-API-Key": DISPATCH_KEY, "Content-Type": "application/json"}


async def end_by_api(room: SimulatedRoom) -> None:
    """Hang up or transfer, as the scenario says, in the middle of the conversation or ringing."""
    call, scenario = room.call, room.call.scenario
    is_given_up = scenario.ending is Ending.GIVES_UP
    delay = 0.5 * (scenario.ringing_time if is_given_up else scenario.talking_time)
    if await call.wait_until(lambda: room.is_closed, limit=delay):
        return
    if scenario.ending is Ending.API_TRANSFER:
        await _send(room, "transfer")
        # If the target refuses, the conversation goes on, and is ended a second later.
        if await call.wait_until(lambda: room.is_deserted, limit=1.0):
            return
    await _send(room, "hangup")


async def _send(room: SimulatedRoom, action: str) -> None:
    call = room.call
    rng = call.random.generator("api", action)
    for _ in range(ATTEMPTS):
        url = call.network.gateways.pick(rng)
        path = f"/livekit-api/calls/{room.name}/{action}"
        body = b'{"target": "+61491570156"}' if action == "transfer" else b"{}"
        response = await call.network.post(f"{url}{path}", body, HEADERS)
        if response and response.status not in {429, 503}:
            return
        await asyncio.sleep(PAUSE)
