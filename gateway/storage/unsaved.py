"""Ended calls whose last change the history does not have yet; stored with the calls themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.calls.call import Call

#: Unsaved calls that are stored beyond `storage.ended_max` and `ended_ttl`; then the oldest are
#: dropped, and counted as lost.
MAX_UNSAVED = 10_000
#: How long after a call's last change it is saved, in ms: its report and its callbacks follow its
#: end, and are saved with it.
SETTLE_MS = 2_000


@dataclass(frozen=True, slots=True)
class UnsavedCall:
    """A call as it was at `revision`, a time in µs since epoch: the newer one has the greater.

    `call` is None where only its callbacks are stored still. `deliveries` are `Delivery.view()`s.
    """

    call_id: str
    call: Call | None
    deliveries: Sequence[dict[str, Any]]
    revision: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Calls that this gateway saves now; others leave them to it until `lease` has passed.

    `waiting` is how many are unsaved in all, `lost` how many were dropped before they were saved.
    """

    calls: Sequence[UnsavedCall]
    lease: int
    waiting: int
    lost: int


class UnsavedCalls(Protocol):
    """All methods may raise StorageUnavailable."""

    async def claim(self, limit: int, *, settled_only: bool = True) -> Claim:
        """The calls that wait longest; not those that have just changed if `settled_only`."""

    async def saved(self, claim: Claim, call_ids: Sequence[str]) -> None:
        """These of the claim are in the history: forget them, unless they have changed since."""

    async def release(self, claim: Claim) -> None:
        """The claim could not be saved: let any gateway claim it."""

    async def waiting(self, limit: int) -> Sequence[Call]:
        """The unsaved calls, for readers that want to know of them, too."""
