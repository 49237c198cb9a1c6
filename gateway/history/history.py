"""What is asked of the history, and written to it: one code for SQLite and PostgreSQL."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Row,
    Select,
    and_,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.calls.call import Direction
from gateway.calls.search import comparable, searched
from gateway.history.database import HistoryDatabase
from gateway.history.dialects import found_by_index
from gateway.history.records import SavedCall, details_of, storable
from gateway.history.schema import AUDIT, CALLS
from gateway.history.today import Counts
from gateway.storage.registry import CallFilter, Position

#: The calls that a search reads itself, newest first, before it asks the index: what is in many
#: calls is found among these, and what is not the index finds faster.
SEARCH_WINDOW = 10_000
#: Rows that are deleted at a time.
BATCH = 500

_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_ORDER = (CALLS.c.start_timestamp.desc(), CALLS.c.call_id.desc())


class History:
    """Every method raises HistoryUnavailable; those that write raise RowRefused, too."""

    def __init__(self, database: HistoryDatabase) -> None:
        self._database = database

    async def save(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert or replace calls, each as `row_of()` makes it; older revisions change nothing."""
        if not rows:
            return
        insert = _INSERT[self._database.dialect](CALLS)
        changed = {name: insert.excluded[name] for name in rows[0] if name != "call_id"}
        upsert = insert.on_conflict_do_update(
            index_elements=[CALLS.c.call_id],
            set_=changed,
            where=CALLS.c.revision < insert.excluded.revision,
        )
        await self._database.write(lambda it: it.execute(upsert, list(rows)))

    async def save_deliveries(self, call_id: str, deliveries: str, revision: int) -> None:
        """Replace the callbacks of a call that only the history has still; `deliveries` is JSON."""
        change = (
            update(CALLS)
            .where(CALLS.c.call_id == call_id, CALLS.c.revision < revision)
            .values(deliveries=deliveries, revision=revision)
        )
        await self._database.write(lambda it: it.execute(change))

    async def page(
        self, call_filter: CallFilter, *, limit: int, after: Position | None
    ) -> list[SavedCall]:
        """The first `limit` calls after the position `after`, newest first."""
        rows = await self._page([CALLS.c.listed], call_filter, limit, after)
        return [SavedCall((row.start_timestamp, row.call_id), row.listed) for row in rows]

    async def get(self, call_id: str) -> Mapping[str, Any] | None:
        """Everything about a call. Raises RecordUnreadable, too."""
        columns = select(CALLS.c.call_id, CALLS.c.record, CALLS.c.deliveries)
        rows = await self._rows(columns.where(CALLS.c.call_id == storable(call_id)))
        return details_of(rows[0]) if rows else None

    async def details(
        self, call_filter: CallFilter, *, limit: int, after: Position | None
    ) -> list[tuple[Position, Row[Any]]]:
        """As `page()`, with rows for `details_of()`."""
        rows = await self._page([CALLS.c.record, CALLS.c.deliveries], call_filter, limit, after)
        return [((row.start_timestamp, row.call_id), row) for row in rows]

    async def counts(self, since: int, *, without: Sequence[str]) -> Counts:
        """The calls that began since `since` (ms since epoch), but for those with these ids."""
        chosen = and_(CALLS.c.start_timestamp >= since, CALLS.c.call_id.not_in(without))
        # By the column itself SQLite would read all calls, in the order of its index.
        reason = func.coalesce(CALLS.c.disconnection_reason, "None")
        by_reason = select(
            reason,
            func.count(),
            func.count(CALLS.c.answer_timestamp),
            func.count().filter(CALLS.c.is_silent),
        )
        by_reason = by_reason.where(chosen).group_by(reason)
        first_audio = select(CALLS.c.first_audio_ms, func.count())
        first_audio = first_audio.where(chosen, CALLS.c.first_audio_ms.is_not(None))

        async def both(connection: AsyncConnection) -> Counts:
            reasons = (await connection.execute(by_reason)).all()
            heard = await connection.execute(first_audio.group_by(CALLS.c.first_audio_ms))
            return Counts(
                ended=sum(row[1] for row in reasons),
                answered=sum(row[2] for row in reasons),
                silent=sum(row[3] for row in reasons),
                reasons=Counter({row[0]: row[1] for row in reasons}),
                first_audio=Counter({row[0]: row[1] for row in heard}),
            )

        return await self._database.read(both)

    async def delete_party(self, number: str) -> set[str]:
        """Delete the calls with the person who has `number`; returns their ids."""
        other = comparable(storable(number))
        inbound = CALLS.c.direction == Direction.INBOUND
        is_theirs = or_(
            and_(inbound, CALLS.c.from_number == other),
            and_(~inbound, CALLS.c.to_number == other),
        )
        deleted: set[str] = set()
        while ids := await self._delete_batch(is_theirs):
            deleted.update(ids)
        return deleted

    async def expire(self, before: int) -> int:
        """Delete what is older than `before` (ms since epoch): of calls BATCH at most.

        Returns how many calls there were.
        """
        stale = delete(AUDIT).where(AUDIT.c.at < before)
        await self._database.write(lambda it: it.execute(stale))
        return len(await self._delete_batch(CALLS.c.end_timestamp < before))

    async def _delete_batch(self, chosen: ColumnElement[bool]) -> Sequence[str]:
        """So many that what else is written does not wait for long; returns the ids."""
        oldest = select(CALLS.c.id).where(chosen).order_by(CALLS.c.end_timestamp).limit(BATCH)
        batch = delete(CALLS).where(CALLS.c.id.in_(oldest)).returning(CALLS.c.call_id)

        async def delete_batch(connection: AsyncConnection) -> Sequence[str]:
            return (await connection.execute(batch)).scalars().all()

        return await self._database.write(delete_batch)

    async def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        async def rows(connection: AsyncConnection) -> Sequence[Row[Any]]:
            return (await connection.execute(query)).all()

        return await self._database.read(rows)

    async def _page(
        self,
        columns: Sequence[Column[Any]],
        call_filter: CallFilter,
        limit: int,
        after: Position | None,
    ) -> Sequence[Row[Any]]:
        conditions = _conditions(call_filter, after)
        if call_filter.search is not None:
            part = searched(storable(call_filter.search))
            conditions = [CALLS.c.id.in_(await self._search(conditions, part, limit))]
        query = select(CALLS.c.start_timestamp, CALLS.c.call_id, *columns).where(*conditions)
        return await self._rows(query.order_by(*_ORDER).limit(limit))

    async def _search(
        self, conditions: list[ColumnElement[bool]], part: str, limit: int
    ) -> list[int]:
        """The keys of calls: first among the newest ones, then by the index among all others."""
        columns = select(CALLS.c.id, CALLS.c.start_timestamp, CALLS.c.call_id, CALLS.c.search)
        newest = columns.where(*conditions).order_by(*_ORDER).limit(SEARCH_WINDOW).subquery()
        found = select(newest.c.id).where(newest.c.search.contains(part, autoescape=True))
        found = found.order_by(newest.c.start_timestamp.desc(), newest.c.call_id.desc())
        keys = [row.id for row in await self._rows(found.limit(limit))]
        end = columns.where(*conditions).order_by(*_ORDER).offset(SEARCH_WINDOW - 1).limit(1)
        if len(keys) == limit or not (last := await self._rows(end)):
            return keys
        is_older = _is_after((last[0].start_timestamp, last[0].call_id))
        by_index = found_by_index(self._database.dialect, part)
        # Else PostgreSQL might read all calls in their order, sure to find enough among them soon.
        older = columns.where(*conditions, is_older, by_index).cte("older")
        older = older.prefix_with("MATERIALIZED", dialect="postgresql")
        rest = select(older.c.id).order_by(older.c.start_timestamp.desc(), older.c.call_id.desc())
        return keys + [row.id for row in await self._rows(rest.limit(limit - len(keys)))]


def _conditions(call_filter: CallFilter, after: Position | None) -> list[ColumnElement[bool]]:
    """What `call_filter` asks for, but its `search`; every call in the history has ended."""
    numbers = {"from_number": call_filter.from_number, "to_number": call_filter.to_number}
    equal = {
        "call_status": call_filter.status,
        "direction": call_filter.direction,
        "agent_name": call_filter.agent_name,
        "account_code": call_filter.account_code,
        "disconnection_reason": call_filter.disconnection_reason,
        "verdict": call_filter.verdict,
        **{name: value and comparable(value) for name, value in numbers.items()},
    }
    conditions = [
        CALLS.c[name] == storable(value) for name, value in equal.items() if value is not None
    ]
    if call_filter.call_ids is not None:
        conditions.append(CALLS.c.call_id.in_(call_filter.call_ids))
    if call_filter.since is not None:
        conditions.append(CALLS.c.start_timestamp >= call_filter.since)
    if call_filter.until is not None:
        conditions.append(CALLS.c.start_timestamp < call_filter.until)
    if after is not None:
        conditions.append(_is_after(after))
    return conditions


def _is_after(position: Position) -> ColumnElement[bool]:
    """Whether a call comes after `position`, newest first."""
    start, call_id = position
    own = tuple_(CALLS.c.start_timestamp, CALLS.c.call_id)
    return own < tuple_(literal(start), literal(storable(call_id)))
