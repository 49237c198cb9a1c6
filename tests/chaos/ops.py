"""Somebody at the API: ends calls, has them handed on."""

import asyncio

from tests.chaos.rooms import LiveRoom
from tests.chaos.script import Ending
from tests.conftest import DISPATCH_KEY

#: How often they try while the gateway says that it cannot now, and how long they wait, in s.
TRIES = 8
PAUSE = 1.0
HEADERS = {"X-API-Key": DISPATCH_KEY, "Content-Type": "application/json"}


async def end_it(room: LiveRoom) -> None:
    """Do what the script wants done to the call, in the middle of its talk or ringing."""
    scene, script = room.scene, room.scene.script
    wait = 0.5 * (script.ring if script.ending is Ending.GIVES_UP else script.talk)
    if await scene.until(lambda: room.is_closed, within=wait):
        return
    if script.ending is Ending.OPS_TRANSFER:
        await _ask(room, "transfer")
        # Refused, it goes on; then they have had enough.
        if await scene.until(lambda: room.is_deserted, within=1.0):
            return
    await _ask(room, "hangup")


async def _ask(room: LiveRoom, what: str) -> None:
    scene = room.scene
    roll = scene.dice.of("ops", what)
    for _ in range(TRIES):
        url = scene.network.gateways.pick(roll)
        path = f"/livekit-api/calls/{room.name}/{what}"
        body = b'{"target": "+61491570156"}' if what == "transfer" else b"{}"
        answer = await scene.network.post(f"{url}{path}", body, HEADERS)
        if answer and answer.status not in {429, 503}:
            return
        await asyncio.sleep(PAUSE)
