"""The feed of one process: its last entries, for listeners that come back."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import islice

from gateway.calls.call import Change
from gateway.storage.feed import FeedEntry, event_of, feed_entry

#: How many entries a listener can come back to.
KEPT = 1_000


class MemoryFeed:
    """The feed of one process. Ids are the moment it began and a number."""

    def __init__(self, began: int) -> None:
        self._began = began
        self._kept: deque[Callable[[], str]] = deque(maxlen=KEPT)
        self._number = 0
        self._more = asyncio.Event()

    def publish(self, change: Change) -> None:
        """Written out only when somebody listens."""
        if not event_of(change):
            return
        self._kept.append(lambda: feed_entry(change))
        self._number += 1
        self._more.set()

    async def listen(self, after: str) -> AsyncIterator[FeedEntry]:
        number = self._number_of(after) if after else self._number
        while True:
            oldest = self._number - len(self._kept)
            if number is None or number < oldest:
                number = self._number
                yield FeedEntry(self._id(number), "")
            for text in list(islice(self._kept, number - oldest, None)):
                number += 1
                yield FeedEntry(self._id(number), text())
            if number == self._number:
                self._more.clear()
                await self._more.wait()

    def _id(self, number: int) -> str:
        return f"{self._began}-{number}"

    def _number_of(self, news_id: str) -> int | None:
        began, _, number = news_id.partition("-")
        if began != str(self._began) or not number.isdecimal() or int(number) > self._number:
            return None
        return int(number)
