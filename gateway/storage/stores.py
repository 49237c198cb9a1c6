"""Where a gateway keeps things: all in its own memory, or all in a Redis that several share."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.callbacks.delivery_loop import Courier
from gateway.callbacks.events import Notices
from gateway.calls.call import Call, Change
from gateway.config.settings import Config
from gateway.storage.feed import Feed, news
from gateway.storage.idempotency import OnceOnly
from gateway.storage.leader import Turn
from gateway.storage.memory.feed import MemoryFeed
from gateway.storage.memory.idempotency import MemoryOnceOnly
from gateway.storage.memory.leader import Alone
from gateway.storage.memory.outbox import MemoryOutbox
from gateway.storage.memory.registry import MemoryRegistry
from gateway.storage.outbox import Outbox
from gateway.storage.redis.database import Database
from gateway.storage.redis.feed import RedisFeed
from gateway.storage.redis.idempotency import RedisOnceOnly
from gateway.storage.redis.leader import RedisTurn
from gateway.storage.redis.outbox import RedisOutbox
from gateway.storage.redis.registry import RedisRegistry
from gateway.storage.registry import CallRegistry

#: When a call is due next, in ms since epoch; None once nothing more can become of it.
Deadline = Callable[[Call], int | None]


@dataclass(frozen=True, slots=True)
class Stores:
    """`beside` runs as long as they are used."""

    registry: CallRegistry
    outbox: Outbox
    once_only: OnceOnly
    feed: Feed
    turn: Turn
    beside: Sequence[Callable[[], Awaitable[None]]] = ()


def in_memory(
    config: Config,
    courier: Courier,
    *,
    deadline: Deadline,
    new_call_id: Callable[[], str],
    clock: Callable[[], int],
) -> Stores:
    outbox = MemoryOutbox(config.callbacks, courier, clock)
    feed = MemoryFeed(clock())
    notices = Notices(config.callbacks)

    def changed(change: Change) -> None:
        outbox.post(notices.of(change, clock()))
        feed.publish(change)

    return Stores(
        registry=MemoryRegistry(
            config.registry,
            since=clock(),
            deadline=deadline,
            on_change=changed,
        ),
        outbox=outbox,
        once_only=MemoryOnceOnly(
            ttl=config.outbound.idempotency_ttl, new_call_id=new_call_id, clock=clock
        ),
        feed=feed,
        turn=Alone(),
    )


def in_redis(
    database: Database,
    config: Config,
    courier: Courier,
    *,
    deadline: Deadline,
    new_call_id: Callable[[], str],
    clock: Callable[[], int],
) -> Stores:
    outbox = RedisOutbox(database, config.callbacks, courier, clock)
    notices = Notices(config.callbacks)
    registry = RedisRegistry(
        database,
        config.registry,
        config.callbacks,
        deadline=deadline,
        notices=lambda change: notices.of(change, clock()),
        news=news,
        clock=clock,
    )
    return Stores(
        registry=registry,
        outbox=outbox,
        once_only=RedisOnceOnly(
            database, registry, ttl=config.outbound.idempotency_ttl, new_call_id=new_call_id
        ),
        feed=RedisFeed(database),
        turn=RedisTurn(database, interval=config.watch.interval),
        beside=(outbox.run,),
    )
