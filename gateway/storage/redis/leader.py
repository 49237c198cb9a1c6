"""Whose turn it is to watch: one gateway holds it, the others take it over when it is gone."""

import contextlib

from gateway.errors import StorageUnavailable
from gateway.storage.redis.database import Database

#: How long a turn outlives its last renewal, in ms; it is renewed at every tick of the watch.
GRACE_MS = 3_000


class RedisLeaderLock:
    """`interval` (s) is how often it is asked for. Raises RegistryUnavailable."""

    def __init__(self, database: Database, *, interval: float) -> None:
        self._database = database
        self._lasts = int(interval * 1000) + GRACE_MS

    async def acquire(self) -> bool:
        key, who = self._database.key("watcher"), self._database.name
        return bool(await self._database.run("acquire_lock", key, who, self._lasts))

    async def release(self) -> None:
        """Another one may watch from now on."""
        with contextlib.suppress(StorageUnavailable):
            await self._database.run(
                "release_lock", self._database.key("watcher"), self._database.name
            )
