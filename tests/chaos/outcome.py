"""What a run leaves behind, once everything is over or has had all the time in the world."""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.chaos.redis_state import Kept, look_into
from tests.chaos.scene import Scene
from tests.chaos.script import number_of
from tests.chaos.world import World
from tests.conftest import READ_KEY

#: How long the last calls may take to be over, in s.
REST = 150.0
#: Between two looks whether they are, in s.
LOOK_EVERY = 1.0
PAGE = 200
#: How long a gateway may take to say what it has.
PATIENCE = aiohttp.ClientTimeout(total=60)

View = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """`listed`: the ids of all calls; `calls` as gateways show them; `active` how many they count.

    `waiting`: who in the world still waits for something. `redis`: what is in it, if there is one.
    """

    world: World
    listed: list[str]
    calls: dict[str, View]
    active: dict[str, int]
    waiting: list[str]
    redis: Kept | None

    def scene(self, call_id: str) -> Scene | None:
        """The call as it was played, None if nobody did."""
        scenes = self.world.scenes
        if call := self.calls.get(call_id):
            return scenes.get(number_of(call["account_code"]))
        return next((scene for scene in scenes.values() if call_id in scene.rooms), None)


async def rest(world: World) -> Outcome:
    """Wait for the end, and look."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + REST
    while True:
        world.check()
        active = await _active(world)
        is_over = not (world.crew.busy or world.livekit.live or any(active.values()))
        if is_over or loop.time() > deadline:
            break
        await asyncio.sleep(LOOK_EVERY)
    listed = await _listed(world)
    calls = await _looked_at(world, listed)
    while not all(map(_is_told, calls.values())) and loop.time() < deadline:
        await asyncio.sleep(LOOK_EVERY)
        calls |= await _looked_at(world, [id_ for id_ in calls if not _is_told(calls[id_])])
    kept = await look_into(world.redis.url) if world.redis else None
    return Outcome(world, listed, calls, await _active(world), world.crew.busy, kept)


def _is_told(call: View) -> bool:
    """Whether all that is to be said of it was."""
    deliveries = call["deliveries"]
    is_last = any(delivery["event"] == "call_analyzed" for delivery in deliveries)
    return is_last and all(delivery["status"] == "delivered" for delivery in deliveries)


async def _active(world: World) -> dict[str, int]:
    """As each gateway has it, -1 where one cannot say."""
    answers = {
        gateway.name: await _ask(world, gateway.url, "/livekit-api/calls?limit=1")
        for gateway in world.fleet.gateways
    }
    return {name: answer.get("active", -1) for name, answer in answers.items()}


async def _listed(world: World) -> list[str]:
    """The ids of all calls there are."""
    path = f"/livekit-api/calls?include=ended&limit={PAGE}"
    ids: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await _ask(world, world.fleet.gateways[-1].url, f"{path}{cursor}")
        ids += [call["call_id"] for call in page["calls"]]
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
    return ids


async def _looked_at(world: World, ids: list[str]) -> dict[str, View]:
    """Those calls of `ids` that are known to whom is asked: the gateways in turn."""
    gateways = world.fleet.gateways
    views = {
        call_id: await _ask(
            world, gateways[place % len(gateways)].url, f"/livekit-api/calls/{call_id}"
        )
        for place, call_id in enumerate(ids)
    }
    return {call_id: view for call_id, view in views.items() if "timeline" in view}


async def _ask(world: World, url: str, path: str) -> View:
    """What is answered, also by a gateway that has a lot to do."""
    async with world.session.get(
        f"{url}{path}", headers={"X-API-Key": READ_KEY}, timeout=PATIENCE
    ) as answer:
        content: View = await answer.json()
        return content
