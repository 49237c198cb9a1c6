"""The call registry: the protocol that every backend implements, and what a list can filter by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from gateway.calls.call import Call, CallStatus, Direction, Event
from gateway.calls.change import Change
from gateway.calls.conversation import ConversationProblem, conversation_of
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.search import comparable, search_text, searched


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls to list; None matches every call.

    `since` and `until` are ms since epoch: when a call began, the end excluded. `search` is part of
    a number or of an id, see `calls/search.py`. Telephone numbers are equal with and without a
    leading +: carriers differ about it.

    Ended calls are listed only with `include_ended`, or with what only they have: a `status` that
    is final, a `disconnection_reason`, or where `call_ids` name them.
    """

    status: CallStatus | None = None
    direction: Direction | None = None
    from_number: str | None = None
    to_number: str | None = None
    agent_name: str | None = None
    account_code: str | None = None
    since: int | None = None
    until: int | None = None
    search: str | None = None
    disconnection_reason: DisconnectionReason | None = None
    verdict: ConversationProblem | None = None
    include_ended: bool = False
    call_ids: frozenset[str] | None = None

    @property
    def wants_ended(self) -> bool:
        has_ended = self.status is not None and self.status.is_terminal
        is_named = self.disconnection_reason is not None or self.call_ids is not None
        return self.include_ended or has_ended or is_named

    @property
    def wants_active(self) -> bool:
        has_ended = self.status is not None and self.status.is_terminal
        return not has_ended and self.disconnection_reason is None

    def includes(self, call: Call) -> bool:
        """Whether `call` passes all fields."""
        is_listed = self.wants_active if call.is_active else self.wants_ended
        is_recent = self.since is None or call.start_timestamp >= self.since
        return is_listed and is_recent and self.matches(call)

    def matches(self, call: Call) -> bool:
        """As `includes()`, but for what the registry applies by its order: `since`, and the end."""
        if self.until is not None and call.start_timestamp >= self.until:
            return False
        if self.call_ids is not None and call.call_id not in self.call_ids:
            return False
        if self.verdict is not None and self.verdict is not _verdict(call):
            return False
        if self.search is not None and searched(self.search) not in search_text(call):
            return False
        return all(
            expected is None or expected == actual
            for expected, actual in (
                (self.status, call.call_status),
                (self.direction, call.direction),
                (_comparable(self.from_number), comparable(call.from_number)),
                (_comparable(self.to_number), comparable(call.to_number)),
                (self.disconnection_reason, call.disconnection_reason),
                (self.agent_name, call.agent_name),
                (self.account_code, call.account_code),
            )
        )


def _verdict(call: Call) -> ConversationProblem | None:
    conversation = conversation_of(call)
    return conversation.verdict if conversation else None


def _comparable(number: str | None) -> str | None:
    return None if number is None else comparable(number)


#: A call's `(start_timestamp, call_id)`: what lists are sorted by, and where a page ended.
Position = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Page:
    """Calls, newest first; `next` is None on the last page."""

    calls: tuple[Call, ...]
    next: Position | None

    @classmethod
    def of(
        cls, calls: Iterable[Call], call_filter: CallFilter, *, limit: int, after: Position | None
    ) -> Self:
        """A page of those of `calls`, in any order, that pass `call_filter`."""
        passing = {(it.start_timestamp, it.call_id): it for it in calls if call_filter.includes(it)}
        older = sorted((it for it in passing if after is None or it < after), reverse=True)
        last = older[limit - 1] if len(older) > limit else None
        return cls(tuple(passing[it] for it in older[:limit]), next=last)


@dataclass(frozen=True, slots=True)
class ActiveLimits:
    """How many calls may be active: in all, and in the direction of the call that is added."""

    total: int | None = None
    direction: int | None = None

    def reached(self, direction: Direction, *, total: int, same_direction: int) -> str:
        """Which limit keeps a call from being added to those that are active; "" if none does."""
        if self.direction is not None and same_direction >= self.direction:
            return f"{self.direction} {direction} calls are active, which is the limit"
        if self.total is not None and total >= self.total:
            return f"{self.total} calls are active, which is the limit"
        return ""


NO_LIMITS = ActiveLimits()


@dataclass(frozen=True, slots=True)
class Added:
    """The stored call, whether `add()` stored it, and the number of active calls including it."""

    call: Call
    is_new: bool
    active: int


class CallRegistry(Protocol):
    """The stored calls. Each `Call` is a snapshot; calls change by `apply()` only.

    All methods may raise StorageUnavailable: then the change may or may not have been stored.
    A call whose record is damaged is logged and unknown from then on; the record is set aside. For
    a record in the format of a newer gateway methods that return one call raise RecordUnreadable;
    those that return several log that and leave the call out.
    """

    async def add(
        self, call: Call, limits: ActiveLimits = NO_LIMITS, *, replaces: str = ""
    ) -> Added:
        """Store `call`, unless a call with its `call_id` or Jambonz `call_sid` is stored.

        The call with the id `replaces` does not count: its `call_sid` then leads to `call`.
        Raises LimitReached, in the same step, if as many calls are active as `limits` allows.
        """

    async def get(self, call_id: str) -> Call | None: ...

    async def find_by_call_sid(self, call_sid: str) -> Call | None: ...

    async def apply(self, call_id: str, event: Event, *, change_id: str = "") -> Change | None:
        """Change the call by `event`, atomically; None if the call is not stored.

        Stores the callbacks and the feed entry of the change with it. An event whose id was
        applied before changes nothing. All attempts of one change have one `change_id`, so that
        one that was stored although StorageUnavailable was raised is not stored again.
        """

    async def page(
        self, call_filter: CallFilter, *, limit: int, after: Position | None
    ) -> Page: ...

    async def active(self) -> Sequence[Position]:
        """Every call that has not ended, oldest first."""

    async def due(self, now: int) -> Sequence[Call]:
        """The calls whose deadline has passed at `now` (ms since epoch), longest overdue first."""

    async def since(self) -> int:
        """The registry has every call that started later, in ms since epoch; it may lack older."""

    async def count_active(self, direction: Direction | None = None) -> int: ...

    async def prune(self, now: int) -> Sequence[str]:
        """Drop the ended calls that have expired at `now` (ms since epoch); returns their ids."""
