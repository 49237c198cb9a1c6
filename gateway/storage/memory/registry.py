"""The registry of one process: dictionaries, sorted keys, no awaits, hence no races."""

from bisect import bisect_left, insort
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence

from gateway.calls.call import Call, Change, Direction, Event
from gateway.calls.transitions import transition
from gateway.config.settings import StorageSettings
from gateway.storage.registry import Added, CallFilter, Page, Position

#: Ids of events remembered to tell a repeated one; LiveKit repeats within seconds.
REMEMBERED_EVENTS = 10_000


class MemoryRegistry:
    """Keeps active calls, and ended ones for `ended_ttl` seconds, at most `ended_max` of them.

    `deadline` says when a call is due; `on_change` hears of every change, at once.
    """

    def __init__(
        self,
        settings: StorageSettings,
        *,
        since: int,
        deadline: Callable[[Call], int | None] = lambda _: None,
        on_change: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self._ended_ttl_ms = int(settings.ended_ttl * 1000)
        self._ended_max = settings.ended_max
        self._since = since
        self._deadline = deadline
        self._on_change = on_change
        self._calls: dict[str, Call] = {}
        self._by_call_sid: dict[str, str] = {}
        self._all: list[Position] = []
        self._active: list[Position] = []
        self._due: list[Position] = []
        self._due_at: dict[str, int] = {}
        self._ended: deque[str] = deque()
        self._count: Counter[Direction] = Counter()
        self._happened: OrderedDict[str, None] = OrderedDict()

    async def add(self, call: Call) -> Added:
        known = self._calls.get(call.call_id) or self._known(call.jambonz.get("call_sid"))
        if known:
            return Added(known, is_new=False, active=len(self._active))
        if call_sid := call.jambonz.get("call_sid"):
            self._by_call_sid[call_sid] = call.call_id
        self._calls[call.call_id] = call
        position = _position(call)
        insort(self._all, position)
        insort(self._active, position)
        self._count[call.direction] += 1
        self._schedule(call)
        self._on_change(Change(None, call))
        return Added(call, is_new=True, active=len(self._active))

    async def get(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    async def find_by_call_sid(self, call_sid: str) -> Call | None:
        return self._known(call_sid)

    async def apply(self, call_id: str, event: Event) -> Change | None:
        before = self._calls.get(call_id)
        if before is None:
            return None
        if event.id and self._is_repeat(event.id):
            return Change(before, before)
        after = self._calls[call_id] = transition(before, event)
        change = Change(before, after)
        if change.ended:
            _remove(self._active, _position(before))
            self._ended.append(call_id)
            self._count[before.direction] -= 1
        self._schedule(after)
        self._on_change(change)
        return change

    async def page(self, call_filter: CallFilter, *, limit: int, after: Position | None) -> Page:
        keys: Sequence[Position] = self._all if call_filter.wants_ended else self._active
        first = bisect_left(keys, (call_filter.since, "")) if call_filter.since is not None else 0
        index = bisect_left(keys, after) if after else len(keys)
        found: list[Call] = []
        while index > first:
            index -= 1
            call = self._calls[keys[index][1]]
            if not call_filter.matches(call):
                continue
            if len(found) == limit:
                return Page(tuple(found), next=_position(found[-1]))
            found.append(call)
        return Page(tuple(found), next=None)

    async def active(self) -> Sequence[Position]:
        return list(self._active)

    async def due(self, now: int) -> Sequence[Call]:
        passed = bisect_left(self._due, (now + 1, ""))
        return [self._calls[call_id] for _, call_id in self._due[:passed]]

    async def since(self) -> int:
        return self._since

    async def count_active(self, direction: Direction | None = None) -> int:
        return len(self._active) if direction is None else self._count[direction]

    async def prune(self, now: int) -> Sequence[str]:
        dropped: list[str] = []
        while self._ended and self._is_done_with(self._calls[self._ended[0]], now):
            call = self._calls.pop(self._ended.popleft())
            _remove(self._all, _position(call))
            self._unschedule(call.call_id)
            self._by_call_sid.pop(call.jambonz.get("call_sid", ""), None)
            dropped.append(call.call_id)
        return dropped

    def _known(self, call_sid: str | None) -> Call | None:
        call_id = self._by_call_sid.get(call_sid) if call_sid else None
        return self._calls[call_id] if call_id else None

    def _schedule(self, call: Call) -> None:
        moment = self._deadline(call)
        if moment == self._due_at.get(call.call_id):
            return
        self._unschedule(call.call_id)
        if moment is not None:
            self._due_at[call.call_id] = moment
            insort(self._due, (moment, call.call_id))

    def _unschedule(self, call_id: str) -> None:
        moment = self._due_at.pop(call_id, None)
        if moment is not None:
            _remove(self._due, (moment, call_id))

    def _is_repeat(self, event_id: str) -> bool:
        if event_id in self._happened:
            return True
        self._happened[event_id] = None
        if len(self._happened) > REMEMBERED_EVENTS:
            self._happened.popitem(last=False)
        return False

    def _is_done_with(self, call: Call, now: int) -> bool:
        if not call.report_settled:
            return False  # its report is still waited for
        outlived = (call.end_timestamp or 0) + self._ended_ttl_ms <= now
        return outlived or len(self._ended) > self._ended_max


def _position(call: Call) -> Position:
    return call.start_timestamp, call.call_id


def _remove(keys: list[Position], position: Position) -> None:
    del keys[bisect_left(keys, position)]
