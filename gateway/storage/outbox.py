"""Telling others how a call goes: kept until delivered, repeated, in order for each receiver."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway.callbacks.delivery import Delivery


class Outbox(Protocol):
    """Deliveries that wait, and those that were. Which there are is deliveries.py's."""

    async def of(self, call_id: str) -> Sequence[Delivery]:
        """The deliveries about a call, oldest first."""

    async def retry(self, call_id: str, delivery_id: str) -> Delivery | None:
        """Try a delivery once more, whatever became of it; None if there is none of that id."""

    async def forget(self, call_ids: Iterable[str]) -> None:
        """These calls are not kept any more; neither are their deliveries, once settled."""

    async def close(self, *, grace: float) -> None:
        """Give what is under way `grace` s to arrive."""
