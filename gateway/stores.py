"""Where a gateway keeps things: all in its own memory, or all in a Redis that several share."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.callbacks import Outbox
from gateway.callbacks.courier import Courier
from gateway.callbacks.notices import Notices
from gateway.callbacks.outbox import MemoryOutbox
from gateway.callbacks.stream import RedisOutbox
from gateway.calls import Change
from gateway.deadlines import Deadlines
from gateway.feed import Feed, MemoryFeed, news
from gateway.idempotency import OnceOnly
from gateway.idempotency.memory import MemoryOnceOnly
from gateway.idempotency.redis import RedisOnceOnly
from gateway.redis.database import Database
from gateway.redis.feed import RedisFeed
from gateway.redis.turn import RedisTurn
from gateway.registry import CallRegistry
from gateway.registry.memory import MemoryRegistry
from gateway.registry.redis import RedisRegistry
from gateway.settings import Config
from gateway.turn import Alone, Turn


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
    config: Config, courier: Courier, *, new_call_id: Callable[[], str], clock: Callable[[], int]
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
            deadline=Deadlines(config).next,
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
    new_call_id: Callable[[], str],
    clock: Callable[[], int],
) -> Stores:
    outbox = RedisOutbox(database, config.callbacks, courier, clock)
    notices = Notices(config.callbacks)
    registry = RedisRegistry(
        database,
        config.registry,
        config.callbacks,
        deadline=Deadlines(config).next,
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
