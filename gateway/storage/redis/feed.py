"""The feed that gateways share: a bounded Redis stream, which every change is added to."""

import asyncio
from collections.abc import AsyncIterator

from gateway.storage.feed import FeedEntry
from gateway.storage.redis.database import Database

#: Between two looks for news, in s: no listener holds a connection while nothing happens.
LOOK_EVERY = 0.25
BATCH = 200


class RedisFeed:
    """Raises RegistryUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stream = database.key("feed")

    async def listen(self, after: str) -> AsyncIterator[FeedEntry]:
        position = await self._position(after)
        if after and position != after:
            yield FeedEntry(position, "")
        while True:
            entries = await self._range(f"({position}", "+", BATCH)
            for position, fields in entries:
                yield FeedEntry(position, fields["e"])
            if len(entries) < BATCH:
                await asyncio.sleep(LOOK_EVERY)

    async def _position(self, after: str) -> str:
        """Where to go on: at `after` if it is kept still, else at the end."""
        if after and _is_id(after) and await self._range(after, after, 1):
            return after
        words = self._stream, "+", "-", "COUNT", 1
        newest = await self._database.ask("XREVRANGE", *words)
        return str(newest[0][0]) if newest else "0-0"

    async def _range(self, first: str, last: str, most: int) -> list[tuple[str, dict[str, str]]]:
        found: list[tuple[str, dict[str, str]]] = await self._database.ask(
            "XRANGE", self._stream, first, last, "COUNT", most
        )
        return found


def _is_id(text: str) -> bool:
    """Whether Redis would take it: two numbers of 64 bits."""
    return all(
        part.isascii() and part.isdecimal() and len(part) <= 20 and int(part) < 2**64
        for part in (text.partition("-")[0], text.partition("-")[2])
    )
