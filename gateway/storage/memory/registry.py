"""The registry of one process: dictionaries and sorted lists. No method awaits, so none races."""

from bisect import bisect_left, insort
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence

from gateway.calls.call import Call, Direction, Event
from gateway.calls.change import Change
from gateway.calls.transitions import transition
from gateway.config.settings import StorageSettings
from gateway.errors import LimitReached
from gateway.storage.registry import NO_LIMITS, ActiveLimits, Added, CallFilter, Page, Position

#: How many ids of events are stored; LiveKit repeats a webhook within seconds.
MAX_EVENT_IDS = 10_000


class MemoryRegistry:
    """See CallRegistry. Ended calls expire after `ended_ttl` s, or beyond `ended_max` of them.

    `deadline` says when a call is due, from the call alone. `on_change` is called with each change
    as it happens. A call that `is_kept` does not expire; `on_drop` is called with the others' ids.
    """

    def __init__(
        self,
        settings: StorageSettings,
        *,
        since: int,
        deadline: Callable[[Call], int | None] = lambda _: None,
        on_change: Callable[[Change], None] = lambda _: None,
        is_kept: Callable[[str], bool] = lambda _: False,
        on_drop: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ended_ttl_ms = int(settings.ended_ttl * 1000)
        self._ended_max = settings.ended_max
        self._since = since
        self._deadline = deadline
        self._on_change = on_change
        self._is_kept = is_kept
        self._on_drop = on_drop
        self._calls: dict[str, Call] = {}
        self._by_call_sid: dict[str, str] = {}
        self._all: list[Position] = []
        self._active: list[Position] = []
        self._due: list[Position] = []  # by deadline instead of start
        self._ended: deque[str] = deque()
        self._active_by_direction: Counter[Direction] = Counter()
        self._event_ids: OrderedDict[str, None] = OrderedDict()

    async def add(
        self, call: Call, limits: ActiveLimits = NO_LIMITS, *, replaces: str = ""
    ) -> Added:
        stored = self._calls.get(call.call_id) or self._with_call_sid(call.jambonz.get("call_sid"))
        if stored and stored.call_id != replaces:
            return Added(stored, is_new=False, active=len(self._active))
        same_direction = self._active_by_direction[call.direction]
        if limit := limits.reached(
            call.direction, total=len(self._active), same_direction=same_direction
        ):
            raise LimitReached(limit)
        if call_sid := call.jambonz.get("call_sid"):
            self._by_call_sid[call_sid] = call.call_id
        self._calls[call.call_id] = call
        position = _position(call)
        insort(self._all, position)
        insort(self._active, position)
        self._active_by_direction[call.direction] += 1
        self._reschedule(None, call)
        self._on_change(Change(None, call))
        return Added(call, is_new=True, active=len(self._active))

    async def get(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    async def find_by_call_sid(self, call_sid: str) -> Call | None:
        return self._with_call_sid(call_sid)

    async def apply(self, call_id: str, event: Event, *, change_id: str = "") -> Change | None:
        before = self._calls.get(call_id)
        if before is None:
            return None
        if event.id and self._is_repeated(event.id):
            return Change(before, before)
        after = self._calls[call_id] = transition(before, event)
        change = Change(before, after)
        if change.ended:
            _remove(self._active, _position(before))
            self._ended.append(call_id)
            self._active_by_direction[before.direction] -= 1
        self._reschedule(before, after)
        self._on_change(change)
        return change

    async def page(self, call_filter: CallFilter, *, limit: int, after: Position | None) -> Page:
        if call_filter.call_ids is not None:
            named = (self._calls[it] for it in call_filter.call_ids if it in self._calls)
            return Page.of(named, call_filter, limit=limit, after=after)
        index = self._all if call_filter.wants_ended else self._active
        first = bisect_left(index, (call_filter.since, "")) if call_filter.since is not None else 0
        position = bisect_left(index, after) if after else len(index)
        matching: list[Call] = []
        while position > first:
            position -= 1
            call = self._calls[index[position][1]]
            if not call_filter.matches(call):
                continue
            if len(matching) == limit:
                return Page(tuple(matching), next=_position(matching[-1]))
            matching.append(call)
        return Page(tuple(matching), next=None)

    async def active(self) -> Sequence[Position]:
        return list(self._active)

    async def due(self, now: int) -> Sequence[Call]:
        passed = bisect_left(self._due, (now + 1, ""))
        return [self._calls[call_id] for _, call_id in self._due[:passed]]

    async def since(self) -> int:
        return self._since

    async def count_active(self, direction: Direction | None = None) -> int:
        return len(self._active) if direction is None else self._active_by_direction[direction]

    async def prune(self, now: int) -> Sequence[str]:
        dropped: list[str] = []
        while self._ended and self._has_expired(self._calls[self._ended[0]], now):
            call_id = self._ended.popleft()
            self._drop(call_id)
            dropped.append(call_id)
            self._on_drop(call_id)
        return dropped

    async def delete(self, call_ids: Iterable[str]) -> Sequence[str]:
        """Forget these ended calls; returns those that there were."""
        deleted = [it for it in call_ids if (call := self._calls.get(it)) and not call.is_active]
        for call_id in deleted:
            self._ended.remove(call_id)
            self._drop(call_id)
        return deleted

    def _drop(self, call_id: str) -> None:
        call = self._calls.pop(call_id)
        _remove(self._all, _position(call))
        self._reschedule(call, None)
        call_sid = call.jambonz.get("call_sid", "")
        if self._by_call_sid.get(call_sid) == call_id:  # else a later call has it
            del self._by_call_sid[call_sid]

    def _with_call_sid(self, call_sid: str | None) -> Call | None:
        call_id = self._by_call_sid.get(call_sid) if call_sid else None
        return self._calls[call_id] if call_id else None

    def _reschedule(self, before: Call | None, after: Call | None) -> None:
        old, new = self._due_position(before), self._due_position(after)
        if old == new:
            return
        if old:
            _remove(self._due, old)
        if new:
            insort(self._due, new)

    def _due_position(self, call: Call | None) -> Position | None:
        deadline = self._deadline(call) if call else None
        return None if call is None or deadline is None else (deadline, call.call_id)

    def _is_repeated(self, event_id: str) -> bool:
        if event_id in self._event_ids:
            return True
        self._event_ids[event_id] = None
        if len(self._event_ids) > MAX_EVENT_IDS:
            self._event_ids.popitem(last=False)
        return False

    def _has_expired(self, call: Call, now: int) -> bool:
        if not call.report_settled or self._is_kept(call.call_id):
            return False  # its report may still come, or the history does not have it yet
        is_old = (call.end_timestamp or 0) + self._ended_ttl_ms <= now
        return is_old or len(self._ended) > self._ended_max


def _position(call: Call) -> Position:
    return call.start_timestamp, call.call_id


def _remove(index: list[Position], position: Position) -> None:
    del index[bisect_left(index, position)]
