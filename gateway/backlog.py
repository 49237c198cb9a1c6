"""What happened while the registry was away: kept in order, made up for when it is back."""

from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from gateway.errors import RegistryUnavailable

log = structlog.get_logger()

#: How much is kept; beyond it the newest is dropped, and what LiveKit has makes up for it.
LIMIT = 50_000

Deed = Callable[[], Awaitable[object]]


class Backlog:
    """Deeds that may raise RegistryUnavailable. While some wait, later ones queue up behind."""

    def __init__(self) -> None:
        self._waiting: deque[Deed] = deque()
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    async def do(self, deed: Deed) -> None:
        """Do it now, or as soon as it can be done."""
        if self._waiting:
            self.later(deed)
            return
        try:
            await deed()
        except RegistryUnavailable as error:
            log.warning("registry.away", error=str(error))
            self.later(deed)

    def later(self, deed: Deed) -> None:
        if len(self._waiting) >= LIMIT:
            self._dropped += 1
            return
        self._waiting.append(deed)

    async def catch_up(self) -> None:
        """Do what waits, as far as the registry lets us. One at a time may call this."""
        if not self._waiting:
            return
        waited = len(self._waiting)
        while self._waiting:
            try:
                await self._waiting[0]()
            except RegistryUnavailable:
                return
            except Exception:
                # It would fail again and again, and nothing behind it would ever be done.
                log.exception("registry.deed_failed")
            self._waiting.popleft()
        log.info("registry.caught_up", deeds=waited, dropped=self._dropped)
        self._dropped = 0

    async def close(self) -> None:
        """The last try; what cannot be done is found out from what LiveKit has."""
        await self.catch_up()
        if self._waiting:
            log.error("registry.missed", deeds=len(self._waiting))
