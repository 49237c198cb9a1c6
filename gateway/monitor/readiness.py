"""Whether LiveKit and storage answer, for balancers that ask: one check at a time for them all."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.aio import BackgroundTasks
from gateway.errors import LiveKitError, LiveKitRefused, StorageRefused, StorageUnavailable

#: How long the result of a check is used, in s.
INTERVAL = 1.0


class Condition(StrEnum):
    """One word about a part: strangers may read it."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class PartState:
    """`detail` is what the part answered, or why it did not: it may name hosts."""

    condition: Condition = Condition.OK
    detail: str = ""

    @property
    def is_ok(self) -> bool:
        return self.condition is Condition.OK


Check = Callable[[], Awaitable[object]]


class Readiness:
    """Each of `checks` returns, or raises LiveKitError or StorageUnavailable, within its time."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._tasks = BackgroundTasks()
        self._running: asyncio.Task[Mapping[str, PartState]] | None = None
        self._checked_at = 0.0

    async def states(self) -> Mapping[str, PartState]:
        """The state of each part, at most INTERVAL old. However many ask, it is checked once."""
        running = self._running
        is_over = running is not None and running.done()
        if running is None or (is_over and time.monotonic() - self._checked_at >= INTERVAL):
            running = self._running = self._tasks.spawn(self._check_all(), name="readiness")
        return await asyncio.shield(running)

    async def close(self) -> None:
        await self._tasks.close()

    async def _check_all(self) -> Mapping[str, PartState]:
        states = await asyncio.gather(*(_state(check) for check in self._checks.values()))
        self._checked_at = time.monotonic()
        return dict(zip(self._checks, states, strict=True))


async def _state(check: Check) -> PartState:
    try:
        await check()
    except (LiveKitRefused, StorageRefused) as error:
        return PartState(Condition.REFUSED, str(error))
    except (LiveKitError, StorageUnavailable) as error:
        return PartState(Condition.UNAVAILABLE, str(error))
    return PartState()
