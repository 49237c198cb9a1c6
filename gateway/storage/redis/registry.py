"""The registry that gateways share: calls in Redis, changed by compare-and-set.

One script stores a change: the call, its entries in the indexes, the callbacks and the feed entry.
Either all of them are stored or none, whichever gateway dies when.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

import structlog

from gateway.callbacks.delivery import Delivery
from gateway.calls.call import Call, Direction, Event
from gateway.calls.change import Change
from gateway.calls.transitions import transition
from gateway.config.settings import CallbackSettings, StorageSettings
from gateway.errors import LimitReached, StorageUnavailable
from gateway.storage.redis.call_records import CallRecords, Version
from gateway.storage.redis.database import Database
from gateway.storage.registry import NO_LIMITS, ActiveLimits, Added, CallFilter, Page, Position
from gateway.storage.serialization import dump_call, dump_delivery
from gateway.storage.unsaved import MAX_UNSAVED, SETTLE_MS
from gateway.telemetry.metrics import Metrics

log = structlog.get_logger()

#: How long ids of events are stored, in ms; LiveKit repeats a webhook within seconds.
EVENT_ID_TTL_MS = 600_000
#: Calls whose last known version is cached here, which saves a read before most changes.
MAX_CACHED = 10_000
#: How often a change is tried if other gateways change the call at the same time.
MAX_ATTEMPTS = 1_000
#: Entries of an index that are read at a time, and calls that are pruned at a time.
BATCH = 200
#: Overdue calls that `due()` returns at most.
MAX_DUE = 5_000


class RedisRegistry:
    """See CallRegistry.

    `deadline` says when a call is due, `deliveries` which callbacks a change causes, `feed_entry`
    what the live feed says of it ("" for nothing). `has_history`: whether ended calls are saved.
    """

    def __init__(
        self,
        database: Database,
        settings: StorageSettings,
        callbacks: CallbackSettings,
        *,
        deadline: Callable[[Call], int | None],
        deliveries: Callable[[Change], Sequence[Delivery]],
        feed_entry: Callable[[Change], str],
        clock: Callable[[], int],
        metrics: Metrics,
        has_history: bool,
    ) -> None:
        self._database = database
        self._records = CallRecords(database)
        self._settings = settings
        self._callbacks = callbacks
        self._metrics = metrics
        self._deadline = deadline
        self._deliveries = deliveries
        self._feed_entry = feed_entry
        self._clock = clock
        self._settle_ms = SETTLE_MS if has_history else ""
        self._cache: OrderedDict[str, Version] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._last_token = 0

    async def add(
        self, call: Call, limits: ActiveLimits = NO_LIMITS, *, replaces: str = ""
    ) -> Added:
        token = self._new_token()
        while True:
            is_new, active, stored_id, stored_token, text = await self._database.run(
                "register_call",
                self._records.key(call.call_id),
                call.call_id,
                call.jambonz.get("call_sid", ""),
                call.direction,
                call.start_timestamp,
                dump_call(call),
                token,
                _or_blank(self._deadline(call)),
                self._feed_entry(Change(None, call)),
                _or_blank(limits.total),
                _or_blank(limits.direction),
                replaces,
            )
            if not stored_token:
                same_direction = int(text)
                raise LimitReached(
                    limits.reached(call.direction, total=active, same_direction=same_direction)
                )
            stored = (
                (stored_token, call)
                if is_new
                else await self._records.load(stored_id, stored_token, text)
            )
            if stored:
                self._remember(*stored)
                return Added(stored[1], bool(is_new), int(active))

    async def get(self, call_id: str) -> Call | None:
        version = await self._records.read(call_id)
        return version[1] if version else None

    async def find_by_call_sid(self, call_sid: str) -> Call | None:
        version = await self._records.find_by_call_sid(call_sid)
        return version[1] if version else None

    async def apply(self, call_id: str, event: Event, *, change_id: str = "") -> Change | None:
        # One change of a call at a time, so that only other gateways can interfere.
        async with self._locks.setdefault(call_id, asyncio.Lock()):
            return await self._apply(call_id, event, change_id or self._new_token())

    async def _apply(self, call_id: str, event: Event, token: str) -> Change | None:
        current = self._cache.get(call_id) or await self._records.read(call_id)
        for _ in range(MAX_ATTEMPTS):
            if current is None:
                return None
            based_on, before = current
            change = Change(before, transition(before, event))
            answer, *details = await self._update(change, event, based_on, token)
            if answer == "ok":
                self._remember(token, change.after)
                if dropped := int(details[0]):
                    self._metrics.callbacks_dropped.inc(dropped)
                    log.error("callback.dropped", call_id=call_id, number=dropped)
                return change
            self._cache.pop(call_id, None)
            current = await self._records.load(call_id, *details) if details else None
            if current and answer != "stale":
                self._remember(*current)
                after = current[1]
                return Change(before if answer == "stored" else after, after)
        raise StorageUnavailable(f"other gateways change {call_id} all the time")

    async def page(self, call_filter: CallFilter, *, limit: int, after: Position | None) -> Page:
        if call_filter.call_ids is not None:
            named = await self._records.read_many(list(call_filter.call_ids))
            return Page.of(named, call_filter, limit=limit, after=after)
        index = "all" if call_filter.wants_ended else "active"
        matching: list[Call] = []
        position = after
        while positions := await self._older(index, position, call_filter.since):
            position = positions[-1]
            for call in await self._records.read_many([call_id for _, call_id in positions]):
                if not call_filter.matches(call):
                    continue
                if len(matching) == limit:
                    last = matching[-1]
                    return Page(tuple(matching), next=(last.start_timestamp, last.call_id))
                matching.append(call)
        return Page(tuple(matching), next=None)

    async def active(self) -> Sequence[Position]:
        return _positions(
            await self._database.execute("ZRANGE", self._key("active"), 0, -1, "WITHSCORES")
        )

    async def due(self, now: int) -> Sequence[Call]:
        call_ids = await self._database.execute(
            "ZRANGEBYSCORE", self._key("due"), "-inf", now, "LIMIT", 0, MAX_DUE
        )
        return await self._records.read_many(call_ids)

    async def since(self) -> int:
        """A Redis that lost its data has calls since its next use, see register_call.lua."""
        await self._database.execute("SETNX", self._key("since"), self._clock())
        return int(await self._database.execute("GET", self._key("since")) or self._clock())

    async def count_active(self, direction: Direction | None = None) -> int:
        index = self._key("active", direction) if direction else self._key("active")
        return int(await self._database.execute("ZCARD", index))

    async def prune(self, now: int) -> Sequence[str]:
        dropped: list[str] = []
        while len(batch := await self._prune_batch(now)) == BATCH:
            dropped += batch
        dropped += batch
        for call_id in dropped:
            self._cache.pop(call_id, None)
        return dropped

    async def delete(self, call_ids: Sequence[str]) -> None:
        """See StorageBackend."""
        for call_id in call_ids:
            self._cache.pop(call_id, None)
        await self._database.run("delete_calls", self._key("all"), *call_ids)

    async def _prune_batch(self, now: int) -> list[str]:
        dropped: list[str] = await self._database.run(
            "prune_calls",
            self._key("ended"),
            now - int(self._settings.ended_ttl * 1000),
            self._settings.ended_max,
            BATCH,
            int(self._callbacks.give_up_after * 1000) + 60_000,
            MAX_UNSAVED if self._settle_ms else 0,
        )
        return dropped

    async def _update(self, change: Change, event: Event, based_on: str, token: str) -> list[str]:
        call = change.after
        settled_end = call.end_timestamp if change.report_settled else None
        deliveries = (
            argument
            for delivery in self._deliveries(change)
            for argument in (
                delivery.delivery_id,
                delivery.chain,
                delivery.host,
                dump_delivery(delivery),
            )
        )
        answer: list[str] = await self._database.run(
            "update_call",
            self._records.key(call.call_id),
            call.call_id,
            based_on,
            token,
            dump_call(call),
            _or_blank(self._deadline(call)),
            call.direction,
            "" if call.is_active else "1",
            _or_blank(settled_end),
            event.id,
            EVENT_ID_TTL_MS,
            self._feed_entry(change),
            self._callbacks.max_pending,
            self._settle_ms,
            *deliveries,
        )
        return answer

    async def _older(
        self, index: str, position: Position | None, since: int | None
    ) -> list[Position]:
        """The next batch of an index below `position`, newest first."""
        newest, skipped = "+inf", 0
        oldest = since if since is not None else "-inf"
        if position:
            # Calls with the same start are sorted by their ids; the page before had some of them.
            newest = str(position[0])
            skipped = await self._count_seen(index, position)
        return _positions(
            await self._database.execute(
                "ZRANGE",
                self._key(index),
                newest,
                oldest,
                "BYSCORE",
                "REV",
                "LIMIT",
                skipped,
                BATCH,
                "WITHSCORES",
            )
        )

    async def _count_seen(self, index: str, position: Position) -> int:
        start, last_id = position
        same_start = await self._database.execute(
            "ZRANGE", self._key(index), start, start, "BYSCORE"
        )
        return sum(1 for call_id in same_start if call_id >= last_id)

    def _remember(self, token: str, call: Call) -> None:
        if call.report_settled:
            self._cache.pop(call.call_id, None)  # it hardly changes any more
            return
        self._cache[call.call_id] = token, call
        self._cache.move_to_end(call.call_id)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)

    def _new_token(self) -> str:
        """Unique, so that a script recognises a change whose first reply was lost."""
        self._last_token += 1
        return f"{self._database.gateway_id}:{self._last_token}"

    def _key(self, *parts: str) -> str:
        return self._database.key(*parts)


def _or_blank(moment: int | None) -> str | int:
    return "" if moment is None else moment


def _positions(reply: Sequence[str]) -> list[Position]:
    """Redis' flat list of members and scores."""
    return [(int(float(score)), member) for member, score in zip(*[iter(reply)] * 2, strict=True)]
