"""The outbox: callbacks that are stored until they are delivered, in order for each receiver."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway.callbacks.delivery import Delivery


class Outbox(Protocol):
    """Deliveries are added with the change of a call that causes them, see CallRegistry.apply().

    All methods but `close()` may raise StorageUnavailable.
    """

    async def of(self, call_id: str) -> Sequence[Delivery]:
        """The deliveries of a call, oldest first."""

    async def retry(self, call_id: str, delivery_id: str) -> Delivery | None:
        """Try a delivered or failed delivery again; None if the call has no such delivery."""

    async def pending(self) -> int:
        """How many deliveries wait or are tried, of all gateways that share the outbox."""

    async def forget(self, call_ids: Iterable[str]) -> None:
        """Drop the deliveries of these calls as soon as none of them is pending."""

    async def close(self, *, grace: float) -> None:
        """Give deliveries in progress `grace` s to finish."""
