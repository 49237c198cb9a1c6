"""Where calls are kept: the protocol every store fulfils, and what one can ask it. No I/O here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.calls.call import Call, CallStatus, Change, Direction, Event


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls to list; an empty field asks for nothing. `since` is ms since epoch.

    Ended calls are left out unless `include_ended` or a `status` that is an end asks for them.
    """

    status: CallStatus | None = None
    direction: Direction | None = None
    from_number: str | None = None
    to_number: str | None = None
    agent_name: str | None = None
    account_code: str | None = None
    since: int | None = None
    include_ended: bool = False

    @property
    def wants_ended(self) -> bool:
        return self.include_ended or (self.status is not None and self.status.is_terminal)

    def matches(self, call: Call) -> bool:
        """Whether `call` is asked for; `since` is left to the store, which knows the order."""
        return all(
            wanted is None or wanted == actual
            for wanted, actual in (
                (self.status, call.call_status),
                (self.direction, call.direction),
                (self.from_number, call.from_number),
                (self.to_number, call.to_number),
                (self.agent_name, call.agent_name),
                (self.account_code, call.account_code),
            )
        )


#: Where a page ends: the last call's `(start_timestamp, call_id)`, which is also the sort order.
Position = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Page:
    """Calls, newest first; `next` is None on the last page."""

    calls: tuple[Call, ...]
    next: Position | None


@dataclass(frozen=True, slots=True)
class Added:
    """The call that is kept, whether it is new, and how many are active with it."""

    call: Call
    is_new: bool
    active: int


class CallRegistry(Protocol):
    """A store of calls. Whatever is returned is a snapshot; change goes through `apply()`.

    Everything may raise RegistryUnavailable; then nothing has changed, as far as is known.
    """

    async def add(self, call: Call) -> Added:
        """Keep `call`, unless one with its Jambonz `call_sid` or its `call_id` is kept already."""

    async def get(self, call_id: str) -> Call | None: ...

    async def find_by_call_sid(self, call_sid: str) -> Call | None: ...

    async def apply(self, call_id: str, event: Event) -> Change | None:
        """Advance the call by `event`, atomically; None for a call that is not kept (any more).

        An event with an id that happened already changes nothing.
        """

    async def page(
        self, call_filter: CallFilter, *, limit: int, after: Position | None
    ) -> Page: ...

    async def active(self) -> Sequence[Position]:
        """Every call that has not ended, oldest first."""

    async def due(self, now: int) -> Sequence[Call]:
        """The calls whose deadline has passed, the longest overdue first, see deadlines.py."""

    async def since(self) -> int:
        """Since when every call is known; older ones may have been lost. ms since epoch."""

    async def count_active(self, direction: Direction | None = None) -> int: ...

    async def prune(self, now: int) -> Sequence[str]:
        """Drop ended calls that are kept long enough (`now` in ms since epoch); their ids."""
