"""What happened while the registry was away: kept in order, made up for when it is back."""

from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from gateway.aio import for_each
from gateway.errors import StorageUnavailable

log = structlog.get_logger()

#: How much is kept; beyond it the newest is dropped, and what LiveKit has makes up for it.
LIMIT = 50_000
#: Calls that are made up for at once: one after the other, more might happen than is done.
AT_ONCE = 16

Write = Callable[[], Awaitable[object]]


class DeferredWrites:
    """Deeds that may raise RegistryUnavailable, by the call's name that they were told with.

    While some wait, later ones queue up behind; those of one name are done in their order.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Write]] = {}
        self._number = 0
        self._dropped = 0

    def __len__(self) -> int:
        return self._number

    async def write(self, name: str, write: Write) -> None:
        """Do it now, or as soon as it can be done."""
        if self._waiting:
            self.defer(name, write)
            return
        try:
            await write()
        except StorageUnavailable as error:
            log.warning("storage.unavailable", error=str(error))
            self.defer(name, write)

    def defer(self, name: str, write: Write) -> None:
        """Do it when the registry is back: the next time that this catches up."""
        if self._number >= LIMIT:
            self._dropped += 1
            return
        self._waiting.setdefault(name, deque()).append(write)
        self._number += 1

    async def replay(self) -> None:
        """Do what waits, as far as the registry lets us. One at a time may call this."""
        if not self._waiting:
            return
        waited = self._number
        while self._waiting:
            try:
                await for_each(list(self._waiting), self._replay_for, limit=AT_ONCE)
            except StorageUnavailable:
                return
        log.info("storage.replayed", writes=waited, dropped=self._dropped)
        self._dropped = 0

    async def close(self) -> None:
        """The last try; what cannot be done is found out from what LiveKit has."""
        await self.replay()
        if self._waiting:
            log.error("storage.writes_lost", writes=self._number)

    async def _replay_for(self, name: str) -> None:
        writes = self._waiting[name]
        while writes:
            try:
                await writes[0]()
            except StorageUnavailable:
                raise
            except Exception:
                # It would fail again and again, and nothing behind it would ever be done.
                log.exception("storage.replay_failed")
            writes.popleft()
            self._number -= 1
        del self._waiting[name]
