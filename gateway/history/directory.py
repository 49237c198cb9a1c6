"""All calls as one list: those of the registry, and those that only the history has."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

import structlog

from gateway.calls.call import Call, Direction
from gateway.calls.views import details, listed
from gateway.errors import HistoryUnavailable, RecordUnreadable
from gateway.history.history import History
from gateway.history.records import SavedCall, details_of
from gateway.history.today import Counts, Today, midnight, today
from gateway.storage.backend import StorageBackend
from gateway.storage.registry import CallFilter, Position
from gateway.storage.unsaved import MAX_UNSAVED

log = structlog.get_logger()

#: Calls that are read at a time, to count or to delete them.
BATCH = 200
#: To export them: with their transcripts, which may have a megabyte each.
EXPORT_BATCH = 50
#: How long today's counts are used, in s: however many pages show them.
TODAY_INTERVAL = 2.0
#: The JSON of a page's calls has at most so many bytes: names may be long.
MAX_PAGE_SIZE = 98_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls as `views.listed()` shows them and their `idempotency_key`, newest first.

    `next` is None on the last page. `is_complete`: the history has answered, or nothing was asked
    of it.
    """

    calls: Sequence[Mapping[str, Any]]
    next: Position | None
    is_complete: bool = True


class CallDirectory:
    """For readers of calls. All methods raise StorageUnavailable. `clock` in ms since epoch.

    A call that the registry has is shown as it is there; the history may be seconds behind.
    """

    def __init__(
        self, storage: StorageBackend, history: History | None, clock: Callable[[], int]
    ) -> None:
        self._storage = storage
        self._registry = storage.registry
        self._history = history
        self._clock = clock
        self._counting = asyncio.Lock()
        self._today: Today | None = None
        self._counted_at = -math.inf

    async def page(
        self,
        call_filter: CallFilter,
        *,
        limit: int,
        after: Position | None = None,
        keys: Mapping[str, str] = MappingProxyType({}),
    ) -> CallPage:
        """At most `limit` calls that pass `call_filter`, those after the position `after`.

        `keys` has the idempotency keys of calls by their ids. There are fewer calls where they
        would have more than MAX_PAGE_SIZE, and without those of the history where that is
        unavailable.
        """
        saved: Sequence[SavedCall] = []
        try:
            recent, has_more = await self._recent(call_filter, limit=limit, after=after)
            if self._history and call_filter.wants_ended:
                saved = await self._history.page(call_filter, limit=limit + 1, after=after)
            is_complete = True
        except HistoryUnavailable:
            page = await self._registry.page(call_filter, limit=limit, after=after)
            recent, has_more, is_complete = page.calls, page.next is not None, False
        merged = _merged(
            [(call.position, call.view) for call in saved],
            [(_position(call), listed(call)) for call in recent],
        )
        fitting = _fitting(
            [{**view, "idempotency_key": keys.get(view["call_id"])} for _, view in merged[:limit]]
        )
        has_more = has_more or len(merged) > len(fitting)
        last = merged[len(fitting) - 1][0] if has_more else None
        return CallPage(fitting, last, is_complete)

    async def get(self, call_id: str) -> Mapping[str, Any] | None:
        """Everything about a call, as `views.details()`, with its `deliveries`.

        Raises RecordUnreadable, too.
        """
        if call := await self._registry.get(call_id):
            return await self._details(call)
        return await self._history.get(call_id) if self._history else None

    async def today(self) -> Today:
        """Counts of the calls that began since midnight, in the time zone of this machine."""
        async with self._counting:
            if self._today is None or time.monotonic() - self._counted_at > TODAY_INTERVAL:
                self._today = await self._count_today()
                self._counted_at = time.monotonic()
            return self._today

    async def export(self, call_filter: CallFilter) -> AsyncIterator[Mapping[str, Any]]:
        """Everything about every call that passes `call_filter`, newest first."""
        after: Position | None = None
        while True:
            recent, _ = await self._recent(call_filter, limit=EXPORT_BATCH, after=after)
            items = [(_position(call), self._reader(call)) for call in recent]
            saved = []
            if self._history and call_filter.wants_ended:
                rows = await self._history.details(call_filter, limit=EXPORT_BATCH, after=after)
                saved = [(position, _reader_of(row)) for position, row in rows]
            batch = _merged(saved, items)[:EXPORT_BATCH]
            for _, read in batch:
                try:
                    yield await read()
                except RecordUnreadable as error:
                    log.error("history.record_unreadable", error=str(error))
            if len(batch) < EXPORT_BATCH:
                return
            after = batch[-1][0]

    async def delete_caller(self, number: str) -> tuple[int, int]:
        """Delete the ended calls with the person who has `number`, from registry and history.

        Returns how many there were, and how many others are active: they are not deleted.
        """
        deleted = await self._delete_saved(number)
        ended, active = [], 0
        for call_filter in (
            CallFilter(direction=Direction.INBOUND, from_number=number, include_ended=True),
            CallFilter(direction=Direction.OUTBOUND, to_number=number, include_ended=True),
        ):
            async for call in self._in_registry(call_filter):
                active += call.is_active
                ended += [] if call.is_active else [call.call_id]
        for start in range(0, len(ended), BATCH):
            await self._storage.delete(ended[start : start + BATCH])
        # What was on its way into the history meanwhile.
        return len(deleted | set(ended) | await self._delete_saved(number)), active

    async def _delete_saved(self, number: str) -> set[str]:
        return await self._history.delete_party(number) if self._history else set()

    async def _count_today(self) -> Today:
        since = midnight(self._clock())
        active = await self._registry.active()
        try:
            counts, is_complete = await self._counts(since), True
        except HistoryUnavailable:
            counts, is_complete = await self._recent_counts(since), False
        began_today = sum(start >= since for start, _ in active)
        return today(
            counts,
            since=since,
            active=len(active),
            began_today=began_today,
            is_complete=is_complete,
        )

    async def _counts(self, since: int) -> Counts:
        """Of the history, and of what that does not have yet."""
        if self._history is None:
            return await self._recent_counts(since)
        unsaved = await self._storage.unsaved.waiting(MAX_UNSAVED)
        ids = [call.call_id for call in unsaved]
        saved = await self._history.counts(since, without=ids)
        return saved + Counts.of(listed(it) for it in unsaved if it.start_timestamp >= since)

    async def _recent_counts(self, since: int) -> Counts:
        """Of the calls that the registry has: those of the last hour."""
        recent = self._in_registry(CallFilter(since=since, include_ended=True))
        return Counts.of([listed(call) async for call in recent])

    async def _recent(
        self, call_filter: CallFilter, *, limit: int, after: Position | None
    ) -> tuple[Sequence[Call], bool]:
        """The calls of a page that the history does not have; whether the registry has more.

        It is not asked for ended calls, of which it has copies for an hour: to search these would
        be to read them all.
        """
        if self._history is None or not call_filter.wants_ended:
            page = await self._registry.page(call_filter, limit=limit, after=after)
            return page.calls, page.next is not None
        calls, has_more = {}, False
        if call_filter.wants_active:
            active = replace(call_filter, include_ended=False)
            page = await self._registry.page(active, limit=limit, after=after)
            calls, has_more = {call.call_id: call for call in page.calls}, page.next is not None
        # After the active ones, so that a call which ends meanwhile is in one of both.
        for call in await self._storage.unsaved.waiting(MAX_UNSAVED):
            if call_filter.includes(call) and (after is None or _position(call) < after):
                calls[call.call_id] = call
        return sorted(calls.values(), key=_position, reverse=True), has_more

    async def _in_registry(self, call_filter: CallFilter) -> AsyncIterator[Call]:
        """Every call of the registry that passes `call_filter`."""
        after: Position | None = None
        while True:
            page = await self._registry.page(call_filter, limit=BATCH, after=after)
            for call in page.calls:
                yield call
            if (after := page.next) is None:
                return

    async def _details(self, call: Call) -> Mapping[str, Any]:
        deliveries = await self._storage.outbox.of(call.call_id)
        return {**details(call), "deliveries": [delivery.view() for delivery in deliveries]}

    def _reader(self, call: Call) -> Callable[[], Awaitable[Mapping[str, Any]]]:
        return lambda: self._details(call)


def _reader_of(row: Any) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    async def read() -> Mapping[str, Any]:
        return details_of(row)

    return read


def _position(call: Call) -> Position:
    return call.start_timestamp, call.call_id


def _merged(*lists: Sequence[tuple[Position, T]]) -> list[tuple[Position, T]]:
    """All in one order, newest first; of a call that is in several lists, that of the last one."""
    by_id = {position[1]: (position, item) for items in lists for position, item in items}
    return sorted(by_id.values(), key=lambda item: item[0], reverse=True)


def _fitting(views: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The first of `views` that have no more than MAX_PAGE_SIZE; at least one."""
    size = 0
    for number, view in enumerate(views):
        size += len(json.dumps(view)) + 2
        if number and size > MAX_PAGE_SIZE:
            return views[:number]
    return views
