"""Writes ended calls to the history, behind their end: no call waits for it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import structlog

from gateway.config.settings import HistorySettings
from gateway.errors import HistoryUnavailable, StorageUnavailable
from gateway.history.audit import Audit
from gateway.history.database import HistoryDatabase, RowRefused
from gateway.history.history import History
from gateway.history.records import row_of
from gateway.storage.unsaved import Claim, UnsavedCall, UnsavedCalls

log = structlog.get_logger()

#: The pause between two looks for unsaved calls, in s.
INTERVAL = 1.0
#: Calls that are written at a time: to make their rows takes this thread about a quarter of a
#: millisecond each, more where they have long transcripts.
BATCH = 20
#: How often the history's size is limited, and how often a problem that stays is logged, in s.
EXPIRE_INTERVAL = 600.0
LOG_INTERVAL = 60.0

#: What JSON has no form for: half of a character, a number of more than 64 bits, endless nesting.
_UNWRITABLE = (ValueError, TypeError, OverflowError, RecursionError)


class HistoryState(StrEnum):
    OK = "ok"
    UNAVAILABLE = "unavailable"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class HistoryStatus:
    """`waiting`: calls that are not saved yet. `lost`: calls that will not be, of all gateways.

    `problem` is why nothing is saved now, "" if it is.
    """

    state: HistoryState = HistoryState.OFF
    problem: str = ""
    waiting: int = 0
    lost: int = 0
    audit_lost: int = 0


class HistoryWriter:
    """`run()` never returns. `clock` in ms since epoch."""

    def __init__(
        self,
        settings: HistorySettings,
        *,
        database: HistoryDatabase,
        history: History,
        audit: Audit,
        unsaved: UnsavedCalls,
        clock: Callable[[], int],
    ) -> None:
        self._retention_ms = int(settings.retention * 1000)
        self._database = database
        self._history = history
        self._audit = audit
        self._unsaved = unsaved
        self._clock = clock
        self._problem = "history: not opened yet"
        self._logged_at = 0.0
        self._expired_at = -EXPIRE_INTERVAL
        self._refused = 0
        self._lost = 0
        self._waiting = 0
        self._tried = asyncio.Event()

    @property
    def status(self) -> HistoryStatus:
        return HistoryStatus(
            state=HistoryState.UNAVAILABLE if self._problem else HistoryState.OK,
            problem=self._problem,
            waiting=self._waiting,
            lost=self._lost + self._refused,
            audit_lost=self._audit.lost,
        )

    async def run(self) -> None:
        while True:
            await self.step()
            self._tried.set()
            await asyncio.sleep(INTERVAL)

    async def tried(self, *, within: float) -> None:
        """Return once the history answers or is known not to, or after `within` s."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._tried.wait()

    async def step(self, *, settled_only: bool = True) -> None:
        """Save all calls that wait, or none while the history or storage does not answer."""
        try:
            self._note(await self._unsaved.claim(0))
            if not self._database.is_ready:
                await self._database.prepare()
            await self._audit.save()
            while await self._save_batch(settled_only=settled_only):
                await asyncio.sleep(0)
            await self._expire()
        except HistoryUnavailable as error:
            self._on_problem(str(error))
        except StorageUnavailable as error:
            log.debug("history.storage_unavailable", error=str(error))
        except RowRefused as error:
            log.error("history.write_refused", error=str(error))
        else:
            self._on_success()

    async def close(self, *, grace: float) -> None:
        """Save what waits, for `grace` s at most."""
        try:
            async with asyncio.timeout(grace):
                await self.step(settled_only=False)
        except TimeoutError:
            self._on_problem("history: its database did not answer in time")
        if self._waiting:
            log.error("history.calls_unsaved", calls=self._waiting)

    async def _save_batch(self, *, settled_only: bool) -> bool:
        """Whether there may be more."""
        claim = await self._unsaved.claim(BATCH, settled_only=settled_only)
        self._note(claim)
        if not claim.calls:
            return False
        try:
            await self._save(claim.calls)
        except HistoryUnavailable:
            await self._unsaved.release(claim)
            raise
        await self._unsaved.saved(claim, [item.call_id for item in claim.calls])
        self._waiting -= len(claim.calls)
        return len(claim.calls) == BATCH

    async def _save(self, items: Sequence[UnsavedCall]) -> None:
        """A call that cannot be stored keeps no other one from being saved."""
        rows = []
        for item in items:
            if item.call is None:
                deliveries = msgspec.json.encode(item.deliveries).decode()
                await self._history.save_deliveries(item.call_id, deliveries, item.revision)
            elif not item.call.is_active:
                try:
                    rows.append(row_of(item, item.call))
                except _UNWRITABLE as error:
                    self._refuse(item.call_id, error)
        try:
            await self._history.save(rows)
        except RowRefused:
            for row in rows:
                try:
                    await self._history.save([row])
                except RowRefused as error:
                    self._refuse(row["call_id"], error)

    def _refuse(self, call_id: str, error: Exception) -> None:
        self._refused += 1
        log.error("history.call_refused", call_id=call_id, error=type(error).__name__)

    async def _expire(self) -> None:
        if time.monotonic() - self._expired_at < EXPIRE_INTERVAL:
            return
        expired = await self._history.expire(self._clock() - self._retention_ms)
        if not expired:
            self._expired_at = time.monotonic()
        else:
            log.info("history.calls_expired", calls=expired)

    def _note(self, claim: Claim) -> None:
        self._waiting = claim.waiting
        if claim.lost > self._lost:
            log.error("history.calls_lost", calls=claim.lost - self._lost)
        self._lost = claim.lost

    def _on_problem(self, problem: str) -> None:
        is_new = problem != self._problem
        self._problem = problem
        if is_new or time.monotonic() - self._logged_at > LOG_INTERVAL:
            self._logged_at = time.monotonic()
            log.error("history.unavailable", error=problem, waiting=self._waiting)

    def _on_success(self) -> None:
        if self._problem:
            self._problem = ""
            log.info("history.available")
