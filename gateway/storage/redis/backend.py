"""The Redis backend: everything that gateways store together."""

from collections.abc import Callable

from gateway.callbacks.delivery_loop import Deliverer, Transport
from gateway.callbacks.events import deliveries
from gateway.clock import Clock
from gateway.config.settings import Config
from gateway.storage.backend import Deadline, StorageBackend
from gateway.storage.feed import feed_entry
from gateway.storage.redis.database import Database
from gateway.storage.redis.feed import RedisFeed
from gateway.storage.redis.idempotency import RedisIdempotencyStore
from gateway.storage.redis.leader import RedisLeaderLock
from gateway.storage.redis.outbox import RedisOutbox
from gateway.storage.redis.registry import RedisRegistry
from gateway.storage.redis.unsaved import RedisUnsavedCalls
from gateway.telemetry.metrics import Metrics


def redis_backend(
    database: Database,
    config: Config,
    transport: Transport,
    *,
    deadline: Deadline,
    new_call_id: Callable[[], str],
    clock: Clock,
    metrics: Metrics,
) -> StorageBackend:
    """`transport` sends callbacks; `clock` follows that of other gateways."""
    has_history = bool(config.history.url)
    outbox = RedisOutbox(
        database,
        config.callbacks,
        Deliverer(config.callbacks, transport, clock, metrics),
        clock,
        has_history=has_history,
    )
    registry = RedisRegistry(
        database,
        config.storage,
        config.callbacks,
        deadline=deadline,
        deliveries=lambda change: deliveries(change, config.callbacks, clock()),
        feed_entry=feed_entry,
        clock=clock,
        metrics=metrics,
        has_history=has_history,
    )
    return StorageBackend(
        registry=registry,
        outbox=outbox,
        idempotency=RedisIdempotencyStore(
            database, ttl=config.outbound.idempotency_ttl, new_call_id=new_call_id
        ),
        feed=RedisFeed(database),
        unsaved=RedisUnsavedCalls(database),
        delete=registry.delete,
        leader=RedisLeaderLock(database, interval=config.monitor.interval, clock=clock),
        probe=database.probe,
        background=(outbox.run,),
    )
