"""Where a gateway keeps things: all in its own memory, or all in a Redis that several share."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.callbacks.delivery_loop import Deliverer
from gateway.callbacks.events import CallbackEvents
from gateway.calls.call import Call, Change
from gateway.config.settings import Config
from gateway.storage.feed import Feed, feed_entry
from gateway.storage.idempotency import IdempotencyStore
from gateway.storage.leader import LeaderLock
from gateway.storage.memory.feed import MemoryFeed
from gateway.storage.memory.idempotency import MemoryIdempotencyStore
from gateway.storage.memory.leader import SingleNode
from gateway.storage.memory.outbox import MemoryOutbox
from gateway.storage.memory.registry import MemoryRegistry
from gateway.storage.outbox import Outbox
from gateway.storage.redis.database import Database
from gateway.storage.redis.feed import RedisFeed
from gateway.storage.redis.idempotency import RedisIdempotencyStore
from gateway.storage.redis.leader import RedisLeaderLock
from gateway.storage.redis.outbox import RedisOutbox
from gateway.storage.redis.registry import RedisRegistry
from gateway.storage.registry import CallRegistry

#: When a call is due next, in ms since epoch; None once nothing more can become of it.
Deadline = Callable[[Call], int | None]


@dataclass(frozen=True, slots=True)
class StorageBackend:
    """`beside` runs as long as they are used."""

    registry: CallRegistry
    outbox: Outbox
    idempotency: IdempotencyStore
    feed: Feed
    leader: LeaderLock
    beside: Sequence[Callable[[], Awaitable[None]]] = ()


def memory_backend(
    config: Config,
    deliverer: Deliverer,
    *,
    deadline: Deadline,
    new_call_id: Callable[[], str],
    clock: Callable[[], int],
) -> StorageBackend:
    outbox = MemoryOutbox(config.callbacks, deliverer, clock)
    feed = MemoryFeed(clock())
    events = CallbackEvents(config.callbacks)

    def changed(change: Change) -> None:
        outbox.post(events.deliveries(change, clock()))
        feed.publish(change)

    return StorageBackend(
        registry=MemoryRegistry(
            config.storage,
            since=clock(),
            deadline=deadline,
            on_change=changed,
        ),
        outbox=outbox,
        idempotency=MemoryIdempotencyStore(
            ttl=config.outbound.idempotency_ttl, new_call_id=new_call_id, clock=clock
        ),
        feed=feed,
        leader=SingleNode(),
    )


def redis_backend(
    database: Database,
    config: Config,
    deliverer: Deliverer,
    *,
    deadline: Deadline,
    new_call_id: Callable[[], str],
    clock: Callable[[], int],
) -> StorageBackend:
    outbox = RedisOutbox(database, config.callbacks, deliverer, clock)
    events = CallbackEvents(config.callbacks)
    registry = RedisRegistry(
        database,
        config.storage,
        config.callbacks,
        deadline=deadline,
        deliveries=lambda change: events.deliveries(change, clock()),
        feed_entry=feed_entry,
        clock=clock,
    )
    return StorageBackend(
        registry=registry,
        outbox=outbox,
        idempotency=RedisIdempotencyStore(
            database, registry, ttl=config.outbound.idempotency_ttl, new_call_id=new_call_id
        ),
        feed=RedisFeed(database),
        leader=RedisLeaderLock(database, interval=config.monitor.interval),
        beside=(outbox.run,),
    )
