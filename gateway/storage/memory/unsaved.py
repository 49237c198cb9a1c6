"""The unsaved calls of one process: their ids, by the time from which they may be saved."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.calls.call import Call
from gateway.storage.unsaved import MAX_UNSAVED, SETTLE_MS, Claim, UnsavedCall


class MemoryUnsavedCalls:
    """See UnsavedCalls. `get` and `deliveries` read a call and the views of its callbacks.

    `is_enabled`: whether there is a history that they are saved in.
    """

    def __init__(
        self,
        get: Callable[[str], Awaitable[Call | None]],
        deliveries: Callable[[str], Awaitable[Sequence[dict[str, Any]]]],
        *,
        is_enabled: bool,
    ) -> None:
        self._get = get
        self._deliveries = deliveries
        self._is_enabled = is_enabled
        self._changed_at: dict[str, int] = {}
        self._lost = 0

    def add(self, call_id: str) -> None:
        """Save the call, once it has not changed for a while."""
        if self._is_enabled:
            self._changed_at.pop(call_id, None)
            self._changed_at[call_id] = _now_us()

    def keeps(self, call_id: str) -> bool:
        """Whether the call must be stored on, though it has expired."""
        return call_id in self._changed_at and len(self._changed_at) <= MAX_UNSAVED

    def discard(self, call_id: str) -> None:
        """The call is not to be saved: it was deleted."""
        self._changed_at.pop(call_id, None)

    def drop(self, call_id: str) -> None:
        """The call is not stored any more."""
        if self._changed_at.pop(call_id, None):
            self._lost += 1

    async def claim(self, limit: int, *, settled_only: bool = True) -> Claim:
        lease = _now_us()
        settled = lease - SETTLE_MS * 1000 if settled_only else lease
        ids = [call_id for call_id, at in self._changed_at.items() if at <= settled][:limit]
        calls = []
        for call_id in ids:
            call, deliveries = await self._get(call_id), await self._deliveries(call_id)
            if call or deliveries:
                calls.append(UnsavedCall(call_id, call, deliveries, lease))
            else:
                self.drop(call_id)
        return Claim(calls, lease, waiting=len(self._changed_at), lost=self._lost)

    async def saved(self, claim: Claim, call_ids: Sequence[str]) -> None:
        for call_id in call_ids:
            if self._changed_at.get(call_id, claim.lease) < claim.lease:
                del self._changed_at[call_id]

    async def release(self, claim: Claim) -> None:
        """Nothing to do: nobody else could have claimed them."""

    async def waiting(self, limit: int) -> Sequence[Call]:
        calls = [await self._get(call_id) for call_id in list(self._changed_at)[:limit]]
        return [call for call in calls if call]


def _now_us() -> int:
    return time.time_ns() // 1000
