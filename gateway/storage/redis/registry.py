"""The registry that several gateways share: calls in Redis, changed by comparing.

A change is one script: the call, its places in the indexes, the callbacks that it asks for and the
news of it are all there or all not, whichever gateway dies when.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

import structlog

from gateway.callbacks.delivery import Delivery
from gateway.calls.call import Call, Change, Direction, Event
from gateway.calls.transitions import transition
from gateway.config.settings import CallbackSettings, StorageSettings
from gateway.errors import StorageUnavailable
from gateway.storage.redis.database import Database
from gateway.storage.redis.serialization import dump, load
from gateway.storage.registry import Added, CallFilter, Page, Position

log = structlog.get_logger()

#: How long ids of events are remembered, in ms; LiveKit repeats within seconds.
REMEMBER_EVENTS_MS = 600_000
#: Calls that are remembered here as they were last seen, which saves asking for them.
REMEMBERED = 10_000
#: How often a change is tried anew because others were quicker; they may be so many times in a row.
TRIES = 1_000
#: Calls fetched at a time where many are looked through, and dropped at a time.
BATCH = 200
#: Overdue calls that are taken up at once.
DUE_AT_ONCE = 5_000


#: A call, and the token of the change that made it what it is.
_Version = tuple[str, Call]


class RedisRegistry:
    """See CallRegistry. `deadline` says when a call is due, `deliveries` which callbacks a change
    asks for, `feed_entry` what the live feed says of it ("" for nothing).
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
    ) -> None:
        self._database = database
        self._settings = settings
        self._callbacks = callbacks
        self._deadline = deadline
        self._deliveries_of = deliveries
        self._feed_entry = feed_entry
        self._clock = clock
        self._newest: OrderedDict[str, _Version] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._commits = 0

    async def add(self, call: Call) -> Added:
        is_new, active, token, text = await self._database.run(
            "register_call",
            self._key("call", call.call_id),
            call.call_id,
            call.jambonz.get("call_sid", ""),
            call.direction,
            call.start_timestamp,
            dump(call),
            self._token(),
            _or_blank(self._deadline(call)),
            self._feed_entry(Change(None, call)),
        )
        kept = call if is_new else load(text)
        self._remember(token, kept)
        return Added(kept, bool(is_new), int(active))

    async def get(self, call_id: str) -> Call | None:
        text = await self._database.ask("HGET", self._key("call", call_id), "j")
        return load(text) if text else None

    async def find_by_call_sid(self, call_sid: str) -> Call | None:
        text = await self._database.run("find_by_call_sid", self._key("sid", call_sid))
        return load(text) if text else None

    async def apply(self, call_id: str, event: Event) -> Change | None:
        # One after the other here, so that only other gateways can be quicker.
        async with self._locks.setdefault(call_id, asyncio.Lock()):
            return await self._apply(call_id, event)

    async def _apply(self, call_id: str, event: Event) -> Change | None:
        newest = self._newest.get(call_id) or await self._fetch(call_id)
        token = self._token()
        for _ in range(TRIES):
            if newest is None:
                return None
            based_on, before = newest
            change = Change(before, transition(before, event))
            answer = await self._commit(change, event, based_on, token)
            match answer[0]:
                case "ok":
                    self._committed(change, token, dropped=int(answer[1]))
                    return change
                case "again":
                    kept = load(answer[2])
                    self._remember(answer[1], kept)
                    return Change(kept, kept)
                case "stale":
                    newest = answer[1], load(answer[2])
                case _:
                    self._newest.pop(call_id, None)
                    newest = None
        raise StorageUnavailable(f"{call_id} is changed too often by others")

    async def page(self, call_filter: CallFilter, *, limit: int, after: Position | None) -> Page:
        index = "all" if call_filter.wants_ended else "active"
        found: list[Call] = []
        position = after
        while ids := await self._older(index, position, call_filter.since):
            position = ids[-1]
            for call in await self._calls([call_id for _, call_id in ids]):
                if not call_filter.matches(call):
                    continue
                if len(found) == limit:
                    last = found[-1]
                    return Page(tuple(found), next=(last.start_timestamp, last.call_id))
                found.append(call)
        return Page(tuple(found), next=None)

    async def active(self) -> Sequence[Position]:
        return _positions(
            await self._database.ask("ZRANGE", self._key("active"), 0, -1, "WITHSCORES")
        )

    async def due(self, now: int) -> Sequence[Call]:
        ids = await self._database.ask(
            "ZRANGEBYSCORE", self._key("due"), "-inf", now, "LIMIT", 0, DUE_AT_ONCE
        )
        return await self._calls(ids)

    async def since(self) -> int:
        """A Redis that lost its data knows calls since it was first used again, see add.lua."""
        await self._database.ask("SETNX", self._key("since"), self._clock())
        return int(await self._database.ask("GET", self._key("since")))

    async def count_active(self, direction: Direction | None = None) -> int:
        index = self._key("active", direction) if direction else self._key("active")
        return int(await self._database.ask("ZCARD", index))

    async def prune(self, now: int) -> Sequence[str]:
        gone: list[str] = []
        while len(batch := await self._prune(now)) == BATCH:
            gone += batch
        gone += batch
        for call_id in gone:
            self._newest.pop(call_id, None)
        return gone

    async def _prune(self, now: int) -> list[str]:
        gone: list[str] = await self._database.run(
            "prune_calls",
            self._key("ended"),
            now - int(self._settings.ended_ttl * 1000),
            self._settings.ended_max,
            BATCH,
            int(self._callbacks.give_up_after * 1000) + 60_000,
        )
        return gone

    async def _commit(self, change: Change, event: Event, based_on: str, token: str) -> list[str]:
        call = change.after
        done_at = call.end_timestamp if change.report_settled else None
        waiting = (
            word
            for delivery in self._deliveries_of(change)
            for word in (delivery.delivery_id, delivery.chain, delivery.dump())
        )
        answer: list[str] = await self._database.run(
            "update_call",
            self._key("call", call.call_id),
            call.call_id,
            based_on,
            token,
            dump(call),
            _or_blank(self._deadline(call)),
            call.direction,
            "" if call.is_active else "1",
            _or_blank(done_at),
            event.id,
            REMEMBER_EVENTS_MS,
            self._feed_entry(change),
            self._callbacks.max_pending,
            *waiting,
        )
        return answer

    def _committed(self, change: Change, token: str, *, dropped: int) -> None:
        call = change.after
        self._remember(token, call)
        if dropped:
            log.error("callback.dropped", call_id=call.call_id, number=dropped)

    async def _fetch(self, call_id: str) -> _Version | None:
        token, text = await self._database.ask("HMGET", self._key("call", call_id), "o", "j")
        return (token, load(text)) if token else None

    async def _calls(self, ids: Sequence[str]) -> list[Call]:
        """Those of them that are kept, in this order."""
        found: list[str | None] = []
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            found += await self._database.run("get_calls", self._key("all"), *batch)
        return [load(text) for text in found if text]

    async def _older(
        self, index: str, position: Position | None, since: int | None
    ) -> list[Position]:
        """The next positions in an index, newest first, below `position`."""
        newest, skipped = "+inf", 0
        first = since if since is not None else "-inf"
        if position:
            # Calls of one moment are in the order of their ids, some of them seen already.
            newest = str(position[0])
            skipped = await self._seen_at(index, position)
        words = "REV", "LIMIT", skipped, BATCH, "WITHSCORES"
        return _positions(
            await self._database.ask("ZRANGE", self._key(index), newest, first, "BYSCORE", *words)
        )

    async def _seen_at(self, index: str, position: Position) -> int:
        start, call_id = position
        same = await self._database.ask("ZRANGE", self._key(index), start, start, "BYSCORE")
        return sum(1 for other in same if other >= call_id)

    def _remember(self, token: str, call: Call) -> None:
        if call.report_settled:
            self._newest.pop(call.call_id, None)  # hardly anything happens to it any more
            return
        self._newest[call.call_id] = token, call
        self._newest.move_to_end(call.call_id)
        if len(self._newest) > REMEMBERED:
            self._newest.popitem(last=False)

    def _token(self) -> str:
        """Tells this change from all others, should it have to be asked for twice."""
        self._commits += 1
        return f"{self._database.name}:{self._commits}"

    def _key(self, *parts: str) -> str:
        return self._database.key(*parts)


def _or_blank(moment: int | None) -> str | int:
    return "" if moment is None else moment


def _positions(answer: Sequence[str]) -> list[Position]:
    """Redis' flat list of members and scores."""
    return [(int(float(score)), member) for member, score in zip(*[iter(answer)] * 2, strict=True)]
