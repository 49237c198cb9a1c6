"""The memory backend: everything that one gateway stores, in its own process."""

from collections.abc import Callable, Sequence

from gateway.callbacks.delivery_loop import Deliverer, Transport
from gateway.callbacks.events import deliveries
from gateway.calls.call import Call
from gateway.calls.change import Change
from gateway.config.settings import Config
from gateway.storage.backend import Deadline, StorageBackend
from gateway.storage.memory.feed import MemoryFeed
from gateway.storage.memory.idempotency import MemoryIdempotencyStore
from gateway.storage.memory.leader import SingleNode
from gateway.storage.memory.outbox import MemoryOutbox
from gateway.storage.memory.registry import MemoryRegistry
from gateway.storage.memory.unsaved import MemoryUnsavedCalls
from gateway.telemetry.metrics import Metrics


def memory_backend(
    config: Config,
    transport: Transport,
    *,
    deadline: Deadline,
    new_call_id: Callable[[], str],
    clock: Callable[[], int],
    metrics: Metrics,
) -> StorageBackend:
    """`transport` sends callbacks; `clock` in ms since epoch."""
    feed = MemoryFeed(clock())

    async def get(call_id: str) -> Call | None:
        return await registry.get(call_id)

    async def deliveries_of(call_id: str) -> list[dict[str, object]]:
        return [delivery.view() for delivery in await outbox.of(call_id)]

    async def on_settled(call_id: str) -> None:
        call = await registry.get(call_id)
        if call is None or not call.is_active:
            unsaved.add(call_id)

    def on_change(change: Change) -> None:
        if not change.after.is_active:
            unsaved.add(change.after.call_id)
        outbox.add(deliveries(change, config.callbacks, clock()))
        feed.publish(change)

    async def delete(call_ids: Sequence[str]) -> None:
        deleted = await registry.delete(call_ids)
        outbox.delete(deleted)
        for call_id in deleted:
            unsaved.discard(call_id)
        if deleted:
            feed.clear()

    deliverer = Deliverer(config.callbacks, transport, clock, metrics)
    outbox = MemoryOutbox(config.callbacks, deliverer, clock, metrics, on_settled=on_settled)
    unsaved = MemoryUnsavedCalls(get, deliveries_of, is_enabled=bool(config.history.url))
    registry = MemoryRegistry(
        config.storage,
        since=clock(),
        deadline=deadline,
        on_change=on_change,
        is_kept=unsaved.keeps,
        on_drop=unsaved.drop,
    )
    return StorageBackend(
        registry=registry,
        outbox=outbox,
        unsaved=unsaved,
        delete=delete,
        idempotency=MemoryIdempotencyStore(
            ttl=config.outbound.idempotency_ttl, new_call_id=new_call_id, clock=clock
        ),
        feed=feed,
        leader=SingleNode(),
        probe=_probe,
    )


async def _probe() -> None:
    """Memory can always be written."""
