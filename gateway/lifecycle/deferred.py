"""What happened while the registry was away: kept in order, made up for when it is back."""

from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from gateway.aio import for_each
from gateway.errors import RegistryUnavailable

log = structlog.get_logger()

#: How much is kept; beyond it the newest is dropped, and what LiveKit has makes up for it.
LIMIT = 50_000
#: Calls that are made up for at once: one after the other, more might happen than is done.
AT_ONCE = 16

Deed = Callable[[], Awaitable[object]]


class Backlog:
    """Deeds that may raise RegistryUnavailable, by the call's name that they were told with.

    While some wait, later ones queue up behind; those of one name are done in their order.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Deed]] = {}
        self._number = 0
        self._dropped = 0

    def __len__(self) -> int:
        return self._number

    async def do(self, name: str, deed: Deed) -> None:
        """Do it now, or as soon as it can be done."""
        if self._waiting:
            self.later(name, deed)
            return
        try:
            await deed()
        except RegistryUnavailable as error:
            log.warning("registry.away", error=str(error))
            self.later(name, deed)

    def later(self, name: str, deed: Deed) -> None:
        """Do it when the registry is back: the next time that this catches up."""
        if self._number >= LIMIT:
            self._dropped += 1
            return
        self._waiting.setdefault(name, deque()).append(deed)
        self._number += 1

    async def catch_up(self) -> None:
        """Do what waits, as far as the registry lets us. One at a time may call this."""
        if not self._waiting:
            return
        waited = self._number
        while self._waiting:
            try:
                await for_each(list(self._waiting), self._catch_up_with, at_once=AT_ONCE)
            except RegistryUnavailable:
                return
        log.info("registry.caught_up", deeds=waited, dropped=self._dropped)
        self._dropped = 0

    async def close(self) -> None:
        """The last try; what cannot be done is found out from what LiveKit has."""
        await self.catch_up()
        if self._waiting:
            log.error("registry.missed", deeds=self._number)

    async def _catch_up_with(self, name: str) -> None:
        deeds = self._waiting[name]
        while deeds:
            try:
                await deeds[0]()
            except RegistryUnavailable:
                raise
            except Exception:
                # It would fail again and again, and nothing behind it would ever be done.
                log.exception("registry.deed_failed")
            deeds.popleft()
            self._number -= 1
        del self._waiting[name]
