"""The outbox of one process: a chain of deliveries a call and URL, each worked off by its task."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog

from gateway.callbacks.delivery import Delivery
from gateway.callbacks.delivery_loop import Deliverer, lost
from gateway.config.settings import CallbackSettings

log = structlog.get_logger()


class MemoryOutbox:
    """A slow receiver delays nobody else. `clock` in ms since epoch."""

    def __init__(
        self, settings: CallbackSettings, deliverer: Deliverer, clock: Callable[[], int]
    ) -> None:
        self._max_pending = settings.max_pending
        self._courier = deliverer
        self._clock = clock
        self._deliveries: dict[str, list[Delivery]] = {}
        self._chains: dict[str, deque[Delivery]] = {}
        self._pending = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[str] = set()

    def post(self, deliveries: Iterable[Delivery]) -> None:
        """Have them delivered, in this order; beyond `max_pending` they are dropped, and logged."""
        for delivery in deliveries:
            if self._pending >= self._max_pending:
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

    async def forget(self, call_ids: Iterable[str]) -> None:
        self._leaving.update(call_ids)
        for call_id in [call_id for call_id in self._leaving if self._is_settled(call_id)]:
            self._leaving.discard(call_id)
            self._deliveries.pop(call_id, None)

    async def close(self, *, grace: float) -> None:
        """What has not arrived by then is logged and lost."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for chain in self._chains.values():
            for delivery in chain:
                lost(delivery)

    def _is_settled(self, call_id: str) -> bool:
        return not any(delivery.is_pending for delivery in self._deliveries.get(call_id, []))

    def _enqueue(self, delivery: Delivery) -> None:
        self._pending += 1
        chain = self._chains.get(delivery.chain)
        if chain is not None:
            chain.append(delivery)
            return
        self._chains[delivery.chain] = deque([delivery])
        task = asyncio.create_task(self._run(delivery.chain), name=f"callbacks {delivery.chain}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def _run(self, name: str) -> None:
        chain = self._chains[name]
        while chain:
            await self._courier.deliver(chain[0], _kept_already)
            chain.popleft()
            self._pending -= 1
        del self._chains[name]

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("callback.failed", task=task.get_name(), exc_info=error)


async def _kept_already(_: Delivery) -> None:
    """A delivery in memory is its own record."""
