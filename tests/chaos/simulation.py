"""A run: LiveKit, Jambonz, n8n and the callback receiver in this process, gateways in others."""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from gateway.calls.call import Direction
from gateway.config.settings import LOOPBACK
from tests.chaos.callback_receiver import CallbackReceiver
from tests.chaos.clock import ResponsiveClock
from tests.chaos.disturbances import Disturber
from tests.chaos.jambonz import PUBLIC_URL, SIP_HOST, InboundCall
from tests.chaos.livekit import SimulatedLiveKit
from tests.chaos.machine import Machine
from tests.chaos.n8n import OutboundCall
from tests.chaos.network import Network
from tests.chaos.processes import Gateway, Gateways, Redis
from tests.chaos.run_settings import Disturbance, RunSettings
from tests.chaos.scenario import draw_scenario
from tests.chaos.seeded_random import SeededRandom
from tests.chaos.simulated_call import SimulatedCall
from tests.chaos.tasks import Tasks
from tests.conftest import CALLBACK_SECRET, DISPATCH_KEY, READ_KEY, WEBHOOK_SECRET
from tests.fakes.livekit import KEY, SECRET
from tests.fakes.name_server import NameServer
from tests.fakes.tcp_proxy import TcpProxy

#: With so many tasks for each new call a second none starts: a slow machine takes longer, but still
#: answers in time.
MAX_TASKS = 10
#: Short timeouts shorten a run. The limits are higher than this many calls reach.
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
    "CALLBACKS__ALLOWED_HOSTS": "127.0.0.0/8",
    "CALLBACKS__TIMEOUT": "5",
    "CALLBACKS__REPORT_TIMEOUT": "2",
    "CALLBACKS__MAX_PENDING": "1000000",
    "STORAGE__ENDED_TTL": "604800",
    "STORAGE__ENDED_MAX": "1000000",
    "MONITOR__INTERVAL": "0.2",
    "MONITOR__RECONCILE_INTERVAL": "1",
    "LIMITS__MAX_ACTIVE_CALLS": "100000",
    # More than the clock is set: whoever signs hooks has another clock.
    "SECURITY__SIGNATURE_TOLERANCE": "3600",
    "LIMITS__DISPATCH_RATE": "10000",
    "LIMITS__DISPATCH_BURST": "10000",
    "LOGGING__FORMAT": "json",
}


def host_of(number: int) -> str:
    """The host of the receiver that n8n names in the dispatch of a call: each is another name."""
    return f"n8n-{number}.example.com"


class Simulation:
    """Made by `started()`. `memory` has the sizes of each gateway's process over time, in bytes."""

    def __init__(self, settings: RunSettings, session: aiohttp.ClientSession, folder: Path) -> None:
        self.settings = settings
        self.session = session
        self.tasks = Tasks()
        self._endless_tasks = Tasks()
        self.calls: dict[int, SimulatedCall] = {}
        self.disturbances: Counter[Disturbance] = Counter()
        self.livekit = SimulatedLiveKit(settings.seed, self.calls.__getitem__)
        self.receiver = CallbackReceiver(settings.seed)
        self.names = NameServer({host_of(n): [LOOPBACK] for n in range(settings.calls)})
        self.gateways = Gateways()
        self.machine = Machine(folder / "machine")
        self.network = Network(self.gateways, session)
        self.proxies: dict[str, TcpProxy] = {}
        self.redis: Redis | None = None
        self.clock = ResponsiveClock(self._pids)
        self.memory: dict[str, list[int]] = defaultdict(list)

    @classmethod
    @asynccontextmanager
    async def started(cls, settings: RunSettings, folder: Path) -> AsyncIterator[Self]:
        """All servers are up, and no call has begun. `folder` gets logs and Redis' data."""
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            simulation = cls(settings, session, folder)
            await stack.enter_async_context(simulation.livekit.serving())
            await stack.enter_async_context(simulation.receiver.serving())
            await stack.enter_async_context(simulation.names.serving())
            stack.push_async_callback(simulation._endless_tasks.cancel)
            stack.push_async_callback(simulation.tasks.cancel)
            if settings.has_redis:
                simulation.redis = Redis(folder)
                stack.push_async_callback(simulation.redis.stop)
                await simulation.redis.start()
            await simulation._start_proxies(stack)
            await simulation._start_gateways(stack, folder)
            yield simulation

    async def run(self) -> None:
        """Start all calls at their rate, and cause the disturbances meanwhile."""
        disturber = Disturber(
            machine=self.machine,
            livekit=self.livekit,
            gateways=self.gateways,
            proxies=list(self.proxies.values()),
            names=self.names,
            redis=self.redis,
        )
        self._endless_tasks.start(self.clock.run(), "clock")
        self._endless_tasks.start(self.livekit.close_expired_rooms(), "LiveKit closes rooms")
        due = self.clock.now
        for number in range(self.settings.calls):
            due = max(due + 1 / self.settings.rate, self.clock.now)
            await self.clock.wait_until(due)
            await self._wait_for_tasks()
            self.tasks.start(self._play(number), f"call {number}")
            if disturbance := self.settings.disturbance_at(number):
                self.disturbances[disturbance] += 1
                self.tasks.start(disturber.cause(disturbance), disturbance)
            if self.settings.measures_memory_at(number):
                self._measure_memory()

    def check(self) -> None:
        """Raises an error that makes the rest of the run worthless."""
        self.tasks.raise_failure()
        self._endless_tasks.raise_failure()
        for gateway in self.gateways.all:
            gateway.check()

    def _pids(self) -> list[int]:
        pids = [os.getpid(), *(gateway.pid for gateway in self.gateways.all)]
        return [*pids, self.redis.pid] if self.redis else pids

    async def _wait_for_tasks(self) -> None:
        while len(self.tasks) > MAX_TASKS * self.settings.rate:
            await asyncio.sleep(0.05)
        self.check()

    async def _play(self, number: int) -> None:
        seeded = SeededRandom(self.settings.seed, number)
        scenario = draw_scenario(number, seeded)
        call = SimulatedCall(scenario, seeded, self.network, self.tasks, self.clock)
        self.calls[number] = call
        if call.scenario.direction is Direction.INBOUND:
            await InboundCall(call, self.livekit).play()
        else:
            key = f"{self.settings.seed}-{number}"
            port = urlsplit(self.receiver.url).port
            await OutboundCall(call, f"http://{host_of(number)}:{port}/n8n", key).play()

    def _measure_memory(self) -> None:
        """Of the processes that run from the first call to the last."""
        for gateway in self.gateways.all:
            if not gateway.was_killed:
                self.memory[gateway.name].append(gateway.memory)

    async def _start_proxies(self, stack: AsyncExitStack) -> None:
        """Between the gateways and what they are connected to."""
        ports = {"livekit": urlsplit(self.livekit.url).port}
        if self.redis:
            ports["redis"] = self.redis.port
        for name, port in ports.items():
            assert port
            self.proxies[name] = await stack.enter_async_context(TcpProxy.serving(port))

    async def _start_gateways(self, stack: AsyncExitStack, folder: Path) -> None:
        for number in range(self.settings.gateways):
            gateway = Gateway(f"gateway-{number}", self._environment(), folder)
            stack.push_async_callback(gateway.stop)
            self.gateways.all.append(gateway)
        await asyncio.gather(*(gateway.start() for gateway in self.gateways.all))

    def _redis_url(self) -> dict[str, str]:
        if "redis" not in self.proxies:
            return {}
        return {"REDIS_URL": f"redis://localhost:{self.proxies['redis'].port}/0"}

    def _environment(self) -> dict[str, str]:
        own = ("LIVEKIT_", "GATEWAY_", "JAMBONZ_", "REDIS_", "CALLBACK_", "SIP_")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(own)}
        return {
            **inherited,
            **{f"GATEWAY__{name}": value for name, value in SETTINGS.items()},
            "GATEWAY__CALLBACKS__URLS": f"{self.receiver.url}/all",
            "GATEWAY_PUBLIC_URL": PUBLIC_URL,
            "GATEWAY_API_KEYS": f"ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY}",
            "CHAOS_MACHINE": str(self.machine.file),
            "CHAOS_NAME_SERVER": self.names.address,
            # Names, which have to be resolved: those of callbacks' hosts must not delay them.
            "LIVEKIT_URL": f"http://localhost:{self.proxies['livekit'].port}",
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
            "LIVEKIT_SIP_HOST": SIP_HOST,
            "SIP_OUTBOUND_TRUNK_ID": "ST_1",
            "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "CALLBACK_SECRET": CALLBACK_SECRET,
            **self._redis_url(),
        }
