"""The outbox of one process: for each call and URL a chain of deliveries, worked off by a task."""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from gateway.aio import BackgroundTasks
from gateway.callbacks.delivery import Delivery
from gateway.callbacks.delivery_loop import Deliverer, log_lost
from gateway.config.settings import CallbackSettings
from gateway.telemetry.metrics import Metrics

log = structlog.get_logger()


class MemoryOutbox:
    """See Outbox. A slow receiver delays no other one. `clock` in ms since epoch.

    `on_settled` is called with the id of a call of which a delivery was made, or has failed.
    """

    def __init__(
        self,
        settings: CallbackSettings,
        deliverer: Deliverer,
        clock: Callable[[], int],
        metrics: Metrics,
        *,
        on_settled: Callable[[str], Awaitable[None]],
    ) -> None:
        self._max_pending = settings.max_pending
        self._deliverer = deliverer
        self._clock = clock
        self._metrics = metrics
        self._on_settled = on_settled
        self._deliveries: dict[str, list[Delivery]] = {}
        self._chains: dict[str, deque[Delivery]] = {}
        self._pending: Counter[str] = Counter()
        self._tasks = BackgroundTasks()
        self._to_forget: set[str] = set()

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Deliver these, in order; beyond the host's share they are dropped, which is logged.

        A host may have as many pending as are left for all others: one that is away leaves half.
        """
        for delivery in deliveries:
            if self._pending[delivery.host] >= self._max_pending - self._pending.total():
                self._metrics.callbacks_dropped.inc()
                log.error("callback.dropped", call_id=delivery.call_id, kind=delivery.event)
                continue
            self._deliveries.setdefault(delivery.call_id, []).append(delivery)
            self._enqueue(delivery)

    async def of(self, call_id: str) -> Sequence[Delivery]:
        return self._deliveries.get(call_id, [])

    async def retry(self, call_id: str, delivery_id: str) -> Delivery | None:
        for delivery in self._deliveries.get(call_id, []):
            if delivery.delivery_id == delivery_id:
                if not delivery.is_pending:
                    delivery.reset(self._clock())
                    self._enqueue(delivery)
                return delivery
        return None

    async def pending(self) -> int:
        return self._pending.total()

    async def forget(self, call_ids: Iterable[str]) -> None:
        self._to_forget.update(call_ids)
        for call_id in [call_id for call_id in self._to_forget if not self._has_pending(call_id)]:
            self._to_forget.discard(call_id)
            self._deliveries.pop(call_id, None)

    def delete(self, call_ids: Iterable[str]) -> None:
        """Drop the deliveries of these calls, also those that are pending."""
        for call_id in call_ids:
            for delivery in self._deliveries.pop(call_id, []):
                delivery.fail("the call was deleted")

    async def close(self, *, grace: float) -> None:
        """Deliveries that are still pending after `grace` s are logged and lost."""
        await self._tasks.close(grace=grace)
        for chain in self._chains.values():
            for delivery in chain:
                log_lost(delivery)

    def _has_pending(self, call_id: str) -> bool:
        return any(delivery.is_pending for delivery in self._deliveries.get(call_id, []))

    def _enqueue(self, delivery: Delivery) -> None:
        self._pending[delivery.host] += 1
        chain = self._chains.get(delivery.chain)
        if chain is not None:
            chain.append(delivery)
            return
        self._chains[delivery.chain] = deque([delivery])
        self._tasks.spawn(self._deliver(delivery.chain), name=f"callbacks {delivery.chain}")

    async def _deliver(self, chain: str) -> None:
        deliveries = self._chains[chain]
        while deliveries:
            if deliveries[0].is_pending:
                await self._deliverer.deliver(deliveries[0], _save)
            await self._on_settled(deliveries[0].call_id)
            self._pending -= Counter([deliveries.popleft().host])  # without hosts that have none
        del self._chains[chain]


async def _save(_: Delivery) -> None:
    """Nothing to do: a delivery in memory is its own record."""
