"""What happens to calls, for those who listen now; what they missed for a moment is made up for."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import islice
from json import JSONEncoder
from typing import Protocol

from gateway.calls import Change
from gateway.views import reported

#: How much is kept for those who come back.
KEPT = 1_000

_compact = JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class News:
    """`text` is JSON: `{"event", "call"}`; "" where something was missed that is not kept any more.

    `id` is what to come back with.
    """

    id: str
    text: str


class Feed(Protocol):
    def listen(self, after: str) -> AsyncIterator[News]:
        """What happened after the news of that id, then what happens; "" for from now on."""


def news(change: Change) -> str:
    """What there is to tell of a change, as JSON; "" if nobody would see a difference."""
    event = _seen(change)
    return _compact({"event": event, "call": reported(change.after)}) if event else ""


def _seen(change: Change) -> str:
    before, after = change.before, change.after
    if before is None:
        return "call_registered"
    if change.ended:
        return "call_ended"
    if before.transfer is not after.transfer:
        return "transfer_started" if after.is_transferring else "transfer_ended"
    if before.call_status is not after.call_status:
        return f"call_{after.call_status}"
    return "call_analyzed" if change.analyzed else ""


class MemoryFeed:
    """The feed of one process. Ids are the moment it began and a number."""

    def __init__(self, began: int) -> None:
        self._began = began
        self._kept: deque[Callable[[], str]] = deque(maxlen=KEPT)
        self._number = 0
        self._more = asyncio.Event()

    def publish(self, change: Change) -> None:
        """Written out only when somebody listens."""
        if not _seen(change):
            return
        self._kept.append(lambda: news(change))
        self._number += 1
        self._more.set()

    async def listen(self, after: str) -> AsyncIterator[News]:
        number = self._number_of(after) if after else self._number
        while True:
            oldest = self._number - len(self._kept)
            if number is None or number < oldest:
                number = self._number
                yield News(self._id(number), "")
            for text in list(islice(self._kept, number - oldest, None)):
                number += 1
                yield News(self._id(number), text())
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
