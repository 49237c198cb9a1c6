"""Leader election by a lock in Redis: a gateway that dies loses it when the lock expires."""

import contextlib

import structlog

from gateway.clock import TOLERANCE_MS, Clock
from gateway.errors import StorageUnavailable
from gateway.storage.redis.database import Database

log = structlog.get_logger()

#: How long the lock outlives its last renewal, beyond the renewal interval, in ms.
GRACE_MS = 3_000
#: How long the leader's time outlives it, in ms: a gateway that is restarted goes on with it.
CLOCK_MS = 3_600_000


class RedisLeaderLock:
    """See LeaderLock. `interval` (s) is how often the lock is acquired, and so renewed.

    The leader's time is that of all gateways: one that was started after its machine's clock was
    set must not end calls that others have registered.
    """

    def __init__(self, database: Database, *, interval: float, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._key = database.key("leader")
        self._lock_ms = int(interval * 1000) + GRACE_MS

    async def acquire(self) -> bool:
        owner = self._database.gateway_id
        is_leader, time = await self._database.run(
            "acquire_leader", self._key, owner, self._lock_ms, self._clock(), CLOCK_MS
        )
        self._follow(int(time))
        return bool(is_leader)

    async def release(self) -> None:
        with contextlib.suppress(StorageUnavailable):  # then it expires
            await self._database.run("release_lock", self._key, self._database.gateway_id)

    def _follow(self, leader_time: int) -> None:
        ahead = self._clock() - leader_time
        if abs(ahead) > TOLERANCE_MS:
            log.warning("clock.set_to_leaders", ms=-ahead)
            self._clock.advance(-ahead)
