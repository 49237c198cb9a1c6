"""Leader election by a lock in Redis: a gateway that dies loses it when the lock expires."""

import contextlib

from gateway.errors import StorageUnavailable
from gateway.storage.redis.database import Database

#: How long the lock outlives its last renewal, beyond the renewal interval, in ms.
GRACE_MS = 3_000


class RedisLeaderLock:
    """See LeaderLock. `interval` (s) is how often the lock is acquired, and so renewed."""

    def __init__(self, database: Database, *, interval: float) -> None:
        self._database = database
        self._key = database.key("leader")
        self._lock_ms = int(interval * 1000) + GRACE_MS

    async def acquire(self) -> bool:
        owner = self._database.gateway_id
        return bool(await self._database.run("acquire_lock", self._key, owner, self._lock_ms))

    async def release(self) -> None:
        with contextlib.suppress(StorageUnavailable):  # then it expires
            await self._database.run("release_lock", self._key, self._database.gateway_id)
