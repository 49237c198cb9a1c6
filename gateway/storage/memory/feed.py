"""The live feed of one process: its last entries in a deque."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import islice

from gateway.calls.change import Change
from gateway.storage.feed import FeedEntry, event_of, feed_entry

#: How many entries can be replayed.
MAX_ENTRIES = 1_000


class MemoryFeed:
    """See Feed. An entry's id is `<started_at>-<number>`, so that a restart changes all ids."""

    def __init__(self, started_at: int) -> None:
        self._started_at = started_at
        self._texts: deque[Callable[[], str]] = deque(maxlen=MAX_ENTRIES)
        self._last_number = 0
        self._published = asyncio.Event()

    def publish(self, change: Change) -> None:
        """Add an entry; its text is made when a client reads it."""
        if event_of(change) is None:
            return
        self._texts.append(lambda: feed_entry(change))
        self._last_number += 1
        self._published.set()

    def clear(self) -> None:
        """Drop all entries; listeners who have not read them learn that some are missing."""
        self._texts.clear()

    async def listen(self, after: str) -> AsyncIterator[FeedEntry]:
        return self._entries(self._number_of(after) if after else self._last_number)

    async def _entries(self, number: int | None) -> AsyncIterator[FeedEntry]:
        while True:
            dropped = self._last_number - len(self._texts)
            if number is None or number < dropped:
                number = self._last_number
                yield FeedEntry(self._id(number), "")
                continue
            for text in list(islice(self._texts, number - dropped, None)):
                number += 1
                yield FeedEntry(self._id(number), text())
            if number == self._last_number:
                self._published.clear()
                await self._published.wait()

    def _id(self, number: int) -> str:
        return f"{self._started_at}-{number}"

    def _number_of(self, entry_id: str) -> int | None:
        """None for an id that this process has not given."""
        started_at, _, number = entry_id.partition("-")
        if started_at != str(self._started_at) or not number.isdecimal() or len(number) > 20:
            return None
        return int(number) if int(number) <= self._last_number else None
