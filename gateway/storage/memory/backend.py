"""The memory backend: everything that one gateway stores, in its own process."""

from collections.abc import Callable

from gateway.callbacks.delivery_loop import Deliverer, Transport
from gateway.callbacks.events import deliveries
from gateway.calls.change import Change
from gateway.config.settings import Config
from gateway.storage.backend import Deadline, StorageBackend
from gateway.storage.memory.feed import MemoryFeed
from gateway.storage.memory.idempotency import MemoryIdempotencyStore
from gateway.storage.memory.leader import SingleNode
from gateway.storage.memory.outbox import MemoryOutbox
from gateway.storage.memory.registry import MemoryRegistry
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
    outbox = MemoryOutbox(
        config.callbacks, Deliverer(config.callbacks, transport, clock, metrics), clock, metrics
    )
    feed = MemoryFeed(clock())

    def on_change(change: Change) -> None:
        outbox.add(deliveries(change, config.callbacks, clock()))
        feed.publish(change)

    return StorageBackend(
        registry=MemoryRegistry(
            config.storage, since=clock(), deadline=deadline, on_change=on_change
        ),
        outbox=outbox,
        idempotency=MemoryIdempotencyStore(
            ttl=config.outbound.idempotency_ttl, new_call_id=new_call_id, clock=clock
        ),
        feed=feed,
        leader=SingleNode(),
        probe=_probe,
    )


async def _probe() -> None:
    """Memory can always be written."""
