"""The world: LiveKit, Jambonz, n8n and the audience in this process, the gateways beside it."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import aiohttp

from gateway.calls.call import Direction
from gateway.config.settings import LOOPBACK
from tests.chaos import script
from tests.chaos.audience import Audience
from tests.chaos.crew import Crew
from tests.chaos.dice import Dice
from tests.chaos.jambonz import PUBLIC_URL, SIP_HOST, InboundCall
from tests.chaos.livekit import BusyLiveKit
from tests.chaos.mail import Network
from tests.chaos.n8n import Dispatch
from tests.chaos.plan import Plan
from tests.chaos.processes import Fleet, Gateway, Redis
from tests.chaos.scene import Scene
from tests.conftest import CALLBACK_SECRET, DISPATCH_KEY, READ_KEY, WEBHOOK_SECRET
from tests.fakes.livekit import KEY, SECRET

#: People, letters and agents at once: a slow machine takes longer, and does not drown.
CROWD = 400
REDIS_AWAY = 3.0
GATEWAY_AWAY = 2.0
#: Short deadlines, so that a run is; the rest are limits that this many calls would meet.
SETTINGS = {
    "INBOUND__AGENT_TIMEOUT": "3",
    "INBOUND__REGISTERED_TIMEOUT": "5",
    "INBOUND__RINGING_TIMEOUT": "30",
    "INBOUND__MAX_CALL_DURATION": "60",
    "INBOUND__FALLBACK": '[{sip: "sip:desk@pbx.example.com"}]',
    "OUTBOUND__AGENT_TIMEOUT": "3",
    "OUTBOUND__EARLY_FAILURE_WINDOW": "1",
    "OUTBOUND__RINGING_TIMEOUT": "4",
    "OUTBOUND__MAX_CALL_DURATION": "60",
    "OUTBOUND__MAX_ACTIVE_CALLS": "100000",
    "TRANSFER__ALLOWED": "+614915701*",
    "TRANSFER__RINGING_TIMEOUT": "2",
    "CALLBACKS__ALLOWED_HOSTS": LOOPBACK,
    "CALLBACKS__TIMEOUT": "5",
    "CALLBACKS__REPORT_TIMEOUT": "2",
    "CALLBACKS__MAX_PENDING": "1000000",
    "STORAGE__ENDED_TTL": "604800",
    "STORAGE__ENDED_MAX": "1000000",
    "MONITOR__INTERVAL": "0.2",
    "MONITOR__RECONCILE_INTERVAL": "1",
    "LIMITS__MAX_ACTIVE_CALLS": "100000",
    "LIMITS__DISPATCH_RATE": "10000",
    "LIMITS__DISPATCH_BURST": "10000",
    "LOGGING__FORMAT": "json",
}


class World:
    """Make one with `made()`. `memory` has the sizes of gateways' processes over time, in bytes."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession) -> None:
        self.plan = plan
        self.session = session
        self.crew = Crew()
        self._beside = Crew()
        self.scenes: dict[int, Scene] = {}
        self.livekit = BusyLiveKit(plan.seed, self.scene)
        self.audience = Audience(plan.seed)
        self.fleet = Fleet([])
        self.network = Network(self.fleet, session)
        self.redis: Redis | None = None
        self.memory: dict[str, list[int]] = defaultdict(list)

    @classmethod
    @asynccontextmanager
    async def made(cls, plan: Plan, folder: Path) -> AsyncIterator[Self]:
        """Everything up, no call yet."""
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            world = cls(plan, session)
            await stack.enter_async_context(world.livekit.serving())
            await stack.enter_async_context(world.audience.serving())
            stack.push_async_callback(world._beside.stop)
            stack.push_async_callback(world.crew.stop)
            if plan.shares_redis:
                world.redis = Redis(folder)
                stack.push_async_callback(world.redis.stop)
                await world.redis.start()
            await world._start_gateways(stack, folder)
            yield world

    def scene(self, number: int) -> Scene:
        """The call of that number, from its beginning on."""
        return self.scenes[number]

    async def run(self) -> None:
        """All calls, at their rate, and the misfortunes between them."""
        self._beside.start(self.livekit.close_deserted(), "LiveKit closes rooms")
        for number in range(self.plan.calls):
            await self._pause()
            self.crew.start(self._play(number), f"call {number}")
            if self.plan.redis_stops_at(number):
                self.crew.start(self._stop_redis(), "Redis is away")
            if self.plan.gateway_dies_at(number):
                self.crew.start(self._kill_a_gateway(), "a gateway is away")
            if self.plan.weighs_at(number):
                self._weigh()

    async def _pause(self) -> None:
        """Until the next call may come."""
        await asyncio.sleep(1 / self.plan.rate)
        while self.crew.size > CROWD:
            await asyncio.sleep(0.05)
        self.check()

    def check(self) -> None:
        """Raises what makes it pointless to go on."""
        self.crew.check()
        self._beside.check()
        for gateway in self.fleet.gateways:
            gateway.check()

    async def _play(self, number: int) -> None:
        dice = Dice(self.plan.seed, number)
        scene = Scene(script.write(number, dice), dice, self.network, self.crew)
        self.scenes[number] = scene
        if scene.script.direction is Direction.INBOUND:
            await InboundCall(scene, self.livekit).play()
        else:
            key = f"{self.plan.seed}-{number}"
            await Dispatch(scene, f"{self.audience.url}/n8n", key).play()

    async def _stop_redis(self) -> None:
        assert self.redis
        await self.redis.stop()
        await asyncio.sleep(REDIS_AWAY)
        await self.redis.start()

    async def _kill_a_gateway(self) -> None:
        victim = self.fleet.gateways[0]
        await victim.kill()
        await asyncio.sleep(GATEWAY_AWAY)
        await victim.start()

    def _weigh(self) -> None:
        """How large the processes are, of those that live from the first call to the last."""
        for gateway in self.fleet.gateways:
            if not gateway.was_killed:
                self.memory[gateway.name].append(gateway.rss)

    async def _start_gateways(self, stack: AsyncExitStack, folder: Path) -> None:
        for number in range(self.plan.gateways):
            gateway = Gateway(f"gateway-{number}", self._environment(), folder)
            stack.push_async_callback(gateway.stop)
            self.fleet.gateways.append(gateway)
        await asyncio.gather(*(gateway.start() for gateway in self.fleet.gateways))

    def _environment(self) -> dict[str, str]:
        ours = ("LIVEKIT_", "GATEWAY_", "JAMBONZ_", "REDIS_", "CALLBACK_", "SIP_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        return {
            **kept,
            **{f"GATEWAY__{name}": value for name, value in SETTINGS.items()},
            "GATEWAY__CALLBACKS__URLS": f"{self.audience.url}/all",
            "GATEWAY_PUBLIC_URL": PUBLIC_URL,
            "GATEWAY_API_KEYS": f"ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY}",
            "LIVEKIT_URL": self.livekit.url,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
            "LIVEKIT_SIP_HOST": SIP_HOST,
            "SIP_OUTBOUND_TRUNK_ID": "ST_1",
            "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "CALLBACK_SECRET": CALLBACK_SECRET,
            **({"REDIS_URL": self.redis.url} if self.redis else {}),
        }
