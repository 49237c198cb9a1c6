"""Who did what: logged at once, and kept in the history as soon as that takes it."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import structlog
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from common.redaction import mask_text
from gateway.history.database import HistoryDatabase
from gateway.history.schema import AUDIT

log = structlog.get_logger()

#: Entries that wait for the history; beyond, the oldest are only in the log.
MAX_WAITING = 1_000


class Action(StrEnum):
    HANG_UP = "hang_up"
    TRANSFER = "transfer"
    RETRY = "retry"
    WEB_CALL = "web_call"
    SIGN_IN = "sign_in"
    EXPORT = "export"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`at` in ms since epoch; `client` is the API key's name, `call_id` "" where there is none."""

    at: int
    client: str
    action: Action
    call_id: str
    detail: str


class Audit:
    """`clock` in ms since epoch; without a `database` entries are only logged."""

    def __init__(self, database: HistoryDatabase | None, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock
        self._waiting: deque[AuditEntry] = deque()
        self.lost = 0

    def record(self, action: Action, *, client: str, call_id: str = "", detail: str = "") -> None:
        """Telephone numbers in `detail` are masked: a caller's data can be deleted, this not."""
        entry = AuditEntry(self._clock(), client, action, call_id, mask_text(detail))
        log.info("audit.recorded", client=client, action=action, call_id=call_id, detail=detail)
        if self._database is None:
            return
        self._waiting.append(entry)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1

    async def save(self) -> None:
        """Write what waits. Raises HistoryUnavailable."""
        if self._database is None or not self._waiting:
            return
        entries = list(self._waiting)
        self._waiting.clear()
        try:
            rows = [asdict(entry) for entry in entries]
            await self._database.write(lambda it: it.execute(insert(AUDIT), rows))
        except Exception:
            self._waiting.extendleft(reversed(entries))
            raise

    async def page(
        self, *, limit: int, before: int | None
    ) -> tuple[Sequence[AuditEntry], int | None]:
        """The newest entries, or those before the number `before`, and the next such number.

        Raises HistoryUnavailable.
        """
        if self._database is None:
            return [], None
        query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(AUDIT.c.id < before)

        async def read(connection: AsyncConnection) -> Sequence[tuple[int, AuditEntry]]:
            rows = (await connection.execute(query)).all()
            return [(row.id, AuditEntry(*row[1:])) for row in rows]

        found = await self._database.read(read)
        is_last = len(found) <= limit
        return [entry for _, entry in found[:limit]], None if is_last else found[limit - 1][0]
