"""What goes wrong during a run besides single requests, and for how long."""

import asyncio

from tests.chaos.livekit import SimulatedLiveKit
from tests.chaos.machine import Machine
from tests.chaos.processes import Gateways, Redis
from tests.chaos.run_settings import Disturbance
from tests.fakes.name_server import NameServer
from tests.fakes.tcp_proxy import TcpProxy

#: How long Redis is stopped or takes no writes, a gateway is down, the disk is full, in s.
REDIS_DOWNTIME = 3.0
GATEWAY_DOWNTIME = 2.0
DISK_FULL = 3.0
#: How long no name is resolved, in s.
SILENCE_OF_NAMES = 5.0
#: How long LiveKit is down, and how long it then takes its participants to come back, in s.
LIVEKIT_DOWNTIME = 2.0
RETURN_OF_PARTICIPANTS = 1.0
#: How long a LiveKit whose Redis was emptied does not know its rooms, in s.
LIVEKIT_FORGETS = 4.0
#: By how much the clock is set, in s.
FORWARD, BACK = 3000, -600


class Disturber:
    """Causes disturbances; `proxies` have the connections of gateways."""

    def __init__(
        self,
        *,
        machine: Machine,
        livekit: SimulatedLiveKit,
        gateways: Gateways,
        proxies: list[TcpProxy],
        names: NameServer,
        redis: Redis | None,
    ) -> None:
        self._machine = machine
        self._livekit = livekit
        self._gateways = gateways
        self._proxies = proxies
        self._names = names
        self._redis = redis

    async def cause(self, disturbance: Disturbance) -> None:
        """Returns when it is over."""
        await {
            Disturbance.REDIS_STOPPED: self._stop_redis,
            Disturbance.REDIS_FULL: self._fill_redis,
            Disturbance.REDIS_DISK_FULL: self._fill_redis_disk,
            Disturbance.GATEWAY_KILLED: self._kill_gateway,
            Disturbance.CONNECTIONS_SILENT: self._silence_connections,
            Disturbance.NAMES_SILENT: self._silence_names,
            Disturbance.LIVEKIT_RESTARTED: self._restart_livekit,
            Disturbance.LIVEKIT_EMPTIED: self._empty_livekit,
            Disturbance.CLOCK_FORWARD: self._set_clock_forward,
            Disturbance.CLOCK_BACK: self._set_clock_back,
            Disturbance.DISK_FULL: self._fill_disk,
        }[disturbance]()

    async def _stop_redis(self) -> None:
        assert self._redis
        await self._redis.stop()
        await asyncio.sleep(REDIS_DOWNTIME)
        await self._redis.start()

    async def _fill_redis(self) -> None:
        assert self._redis
        await self._redis.set_memory_limit(1)
        await asyncio.sleep(REDIS_DOWNTIME)
        await self._redis.set_memory_limit(0)

    async def _fill_redis_disk(self) -> None:
        assert self._redis
        await self._redis.fail_to_save()
        await asyncio.sleep(REDIS_DOWNTIME)
        await self._redis.save_no_more()

    async def _kill_gateway(self) -> None:
        gateway = self._gateways.all[0]
        await gateway.kill()
        await asyncio.sleep(GATEWAY_DOWNTIME)
        await gateway.start()

    async def _silence_connections(self) -> None:
        for proxy in self._proxies:
            proxy.silence()

    async def _silence_names(self) -> None:
        self._names.silent = True
        await asyncio.sleep(SILENCE_OF_NAMES)
        self._names.silent = False

    async def _restart_livekit(self) -> None:
        await self._livekit.restart(LIVEKIT_DOWNTIME, RETURN_OF_PARTICIPANTS)

    async def _empty_livekit(self) -> None:
        await self._livekit.forget_rooms(LIVEKIT_FORGETS)

    async def _set_clock_forward(self) -> None:
        self._machine.clock_step += FORWARD * 1_000_000_000

    async def _set_clock_back(self) -> None:
        self._machine.clock_step += BACK * 1_000_000_000

    async def _fill_disk(self) -> None:
        self._machine.disk_is_full = True
        await asyncio.sleep(DISK_FULL)
        self._machine.disk_is_full = False
