"""The registry of one process: dictionaries, sorted keys, no awaits, hence no races."""

from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from gateway.advance import advance
from gateway.calls import Call, Change, Direction, Event
from gateway.registry import CallFilter, Page, Position
from gateway.settings import RegistrySettings


class MemoryRegistry:
    """Keeps active calls, and ended ones for `ended_ttl` seconds, at most `ended_max` of them."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._ended_ttl_ms = int(settings.ended_ttl * 1000)
        self._ended_max = settings.ended_max
        self._calls: dict[str, Call] = {}
        self._by_call_sid: dict[str, str] = {}
        self._all: list[Position] = []
        self._active: list[Position] = []
        self._ended: deque[str] = deque()
        self._count: Counter[Direction] = Counter()

    async def add(self, call: Call) -> Call:
        call_sid = call.jambonz.get("call_sid")
        if call_sid:
            known = self._by_call_sid.setdefault(call_sid, call.call_id)
            if known != call.call_id:
                return self._calls[known]
        self._calls[call.call_id] = call
        position = _position(call)
        insort(self._all, position)
        insort(self._active, position)
        self._count[call.direction] += 1
        return call

    async def get(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    async def find_by_call_sid(self, call_sid: str) -> Call | None:
        call_id = self._by_call_sid.get(call_sid)
        return self._calls[call_id] if call_id else None

    async def apply(self, call_id: str, event: Event) -> Change | None:
        before = self._calls.get(call_id)
        if before is None:
            return None
        after = self._calls[call_id] = advance(before, event)
        change = Change(before, after)
        if change.ended:
            _remove(self._active, _position(before))
            self._ended.append(call_id)
            self._count[before.direction] -= 1
        return change

    async def page(self, wanted: CallFilter, *, limit: int, after: Position | None) -> Page:
        keys: Sequence[Position] = self._all if wanted.wants_ended else self._active
        first = bisect_left(keys, (wanted.since, "")) if wanted.since is not None else 0
        index = bisect_left(keys, after) if after else len(keys)
        found: list[Call] = []
        while index > first:
            index -= 1
            call = self._calls[keys[index][1]]
            if not wanted.matches(call):
                continue
            if len(found) == limit:
                return Page(tuple(found), next=_position(found[-1]))
            found.append(call)
        return Page(tuple(found), next=None)

    async def active(self) -> Iterable[Call]:
        return [self._calls[call_id] for _, call_id in self._active]

    async def count_active(self, direction: Direction | None = None) -> int:
        return len(self._active) if direction is None else self._count[direction]

    async def prune(self, now: int) -> Sequence[str]:
        dropped: list[str] = []
        while self._ended and (
            len(self._ended) > self._ended_max or self._outlived(self._ended[0], now)
        ):
            call = self._calls.pop(self._ended.popleft())
            _remove(self._all, _position(call))
            self._by_call_sid.pop(call.jambonz.get("call_sid", ""), None)
            dropped.append(call.call_id)
        return dropped

    def _outlived(self, call_id: str, now: int) -> bool:
        return (self._calls[call_id].end_timestamp or 0) + self._ended_ttl_ms <= now


def _position(call: Call) -> Position:
    return call.start_timestamp, call.call_id


def _remove(keys: list[Position], position: Position) -> None:
    del keys[bisect_left(keys, position)]
