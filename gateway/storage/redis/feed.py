"""The live feed that gateways share: a bounded Redis stream that every change is added to."""

import asyncio
from collections.abc import AsyncIterator

from gateway.storage.feed import FeedEntry
from gateway.storage.redis.database import Database

#: Pause between two reads while nothing happens, in s: a listener holds no connection meanwhile.
POLL_INTERVAL = 0.25
#: Entries read at a time.
BATCH = 200


class RedisFeed:
    """See Feed. An entry's id is its id in the stream."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stream = database.key("feed")

    async def listen(self, after: str) -> AsyncIterator[FeedEntry]:
        position = await self._position(after)
        return self._entries(position, are_missing=bool(after) and position != after)

    async def _entries(self, position: str, *, are_missing: bool) -> AsyncIterator[FeedEntry]:
        if are_missing:
            yield FeedEntry(position, "")
        while True:
            entries = await self._range(f"({position}", "+", BATCH)
            for entry_id, fields in entries:
                position = entry_id
                yield FeedEntry(entry_id, fields["json"])
            if len(entries) < BATCH:
                await asyncio.sleep(POLL_INTERVAL)

    async def _position(self, after: str) -> str:
        """Where to start: at `after` if the stream still has it, else at the end."""
        if after and _is_entry_id(after) and await self._range(after, after, 1):
            return after
        newest = await self._database.execute("XREVRANGE", self._stream, "+", "-", "COUNT", 1)
        return str(newest[0][0]) if newest else "0-0"

    async def _range(self, first: str, last: str, count: int) -> list[tuple[str, dict[str, str]]]:
        entries: list[tuple[str, dict[str, str]]] = await self._database.execute(
            "XRANGE", self._stream, first, last, "COUNT", count
        )
        return entries


def _is_entry_id(text: str) -> bool:
    """Whether Redis accepts `text` as an entry's id: two numbers of 64 bits."""
    return all(
        part.isascii() and part.isdecimal() and len(part) <= 20 and int(part) < 2**64
        for part in (text.partition("-")[0], text.partition("-")[2])
    )
