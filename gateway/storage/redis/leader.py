"""Whose turn it is to watch: one gateway holds it, the others take it over when it is gone."""

import contextlib

from gateway.errors import RegistryUnavailable
from gateway.storage.redis.database import Database

#: How long a turn outlives its last renewal, in ms; it is renewed at every tick of the watch.
GRACE_MS = 3_000


class RedisTurn:
    """`interval` (s) is how often it is asked for. Raises RegistryUnavailable."""

    def __init__(self, database: Database, *, interval: float) -> None:
        self._database = database
        self._lasts = int(interval * 1000) + GRACE_MS

    async def is_ours(self) -> bool:
        key, who = self._database.key("watcher"), self._database.name
        return bool(await self._database.run("turn", key, who, self._lasts))

    async def give_up(self) -> None:
        """Another one may watch from now on."""
        with contextlib.suppress(RegistryUnavailable):
            await self._database.run("yield", self._database.key("watcher"), self._database.name)
