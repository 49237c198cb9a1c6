"""Writes that storage could not take: queued in order, replayed once storage answers again."""

import math
import time
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from gateway.aio import for_each
from gateway.errors import StorageUnavailable

log = structlog.get_logger()

#: At most so many writes are queued. Beyond, the newest are dropped, and reconciling with LiveKit
#: finds out what they would have recorded.
MAX_WRITES = 50_000
#: Calls whose writes are replayed concurrently: one by one, replaying might never finish.
MAX_CONCURRENT_REPLAYS = 16

Write = Callable[[], Awaitable[object]]


class DeferredWrites:
    """A queue of writes that may raise StorageUnavailable, for each key (a call_id or call_sid).

    Writes of one key are executed in order: while any are queued, new ones are queued too. Once
    storage answers again, those of other keys do not wait, so that the queues get shorter.
    """

    def __init__(self) -> None:
        self._queues: dict[str, deque[Write]] = {}
        self._number = 0
        self._dropped = 0
        self._is_available = True

    def __contains__(self, key: str) -> bool:
        return key in self._queues

    def __len__(self) -> int:
        return self._number

    async def write(self, key: str, write: Write) -> None:
        """Execute `write` now or, if storage is unavailable, when it answers again."""
        if key in self._queues or not self._is_available:
            self.defer(key, write)
            return
        try:
            await write()
        except StorageUnavailable as error:
            log.warning("storage.unavailable", error=str(error))
            self._is_available = False
            self.defer(key, write)

    def defer(self, key: str, write: Write) -> None:
        """Queue `write` for the next replay."""
        if self._number >= MAX_WRITES:
            self._dropped += 1
            return
        self._queues.setdefault(key, deque()).append(write)
        self._number += 1

    async def replay(self, *, within: float = math.inf) -> None:
        """Execute queued writes until none are left or storage is unavailable. Not reentrant.

        None begins later than `within` s.
        """
        if not self._queues:
            return
        queued, until = self._number, time.monotonic() + within
        while self._queues:
            try:
                await for_each(
                    list(self._queues),
                    lambda key: self._replay_key(key, until),
                    limit=MAX_CONCURRENT_REPLAYS,
                )
            except StorageUnavailable:
                return
            if time.monotonic() > until:
                return
        log.info("storage.replayed", writes=queued, dropped=self._dropped)
        self._dropped = 0

    async def close(self) -> None:
        """Replay a last time. Writes that fail are lost; reconciling corrects their calls."""
        await self.replay()
        if self._queues:
            log.error("storage.writes_lost", writes=self._number)

    async def _replay_key(self, key: str, until: float) -> None:
        queue = self._queues[key]
        while queue:
            if time.monotonic() > until:
                return
            try:
                await queue[0]()
            except StorageUnavailable:
                self._is_available = False
                raise
            except Exception:
                # Retrying would fail again, and block the writes behind it for ever.
                log.exception("storage.replay_failed")
            self._is_available = True
            queue.popleft()
            self._number -= 1
        del self._queues[key]
