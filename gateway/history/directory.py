"""All calls as one list: those of the registry, and those that only the history has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.calls.views import details, listed
from gateway.history.today import Today, count, midnight
from gateway.storage.outbox import Outbox
from gateway.storage.registry import CallFilter, CallRegistry, Position

#: Calls that are read at a time to count them.
BATCH = 200


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls as `views.listed()` shows them, newest first; `next` is None on the last page."""

    calls: tuple[Mapping[str, Any], ...]
    next: Position | None


class CallDirectory:
    """For readers of calls. `clock` in ms since epoch. All methods raise StorageUnavailable."""

    def __init__(self, registry: CallRegistry, outbox: Outbox, clock: Callable[[], int]) -> None:
        self._registry = registry
        self._outbox = outbox
        self._clock = clock

    async def page(
        self, call_filter: CallFilter, *, limit: int, after: Position | None = None
    ) -> CallPage:
        """At most `limit` calls that pass `call_filter`, those after the position `after`."""
        page = await self._registry.page(call_filter, limit=limit, after=after)
        return CallPage(tuple(listed(call) for call in page.calls), page.next)

    async def get(self, call_id: str) -> Mapping[str, Any] | None:
        """Everything about a call, as `views.details()`, with its `deliveries`."""
        call = await self._registry.get(call_id)
        if call is None:
            return None
        deliveries = await self._outbox.of(call_id)
        return {**details(call), "deliveries": [delivery.view() for delivery in deliveries]}

    async def today(self) -> Today:
        """Counts of the calls that began since midnight, in the time zone of this machine."""
        since = midnight(self._clock())
        calls, after = [], None
        while True:
            page = await self._registry.page(
                CallFilter(since=since, include_ended=True), limit=BATCH, after=after
            )
            calls += [listed(call) for call in page.calls]
            if (after := page.next) is None:
                return count(calls, since=since, active=await self._registry.count_active())
