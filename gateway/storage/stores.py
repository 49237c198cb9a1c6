"""Opens the storage backend that `config.storage` chooses."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.callbacks.delivery_loop import Transport
from gateway.clock import Clock
from gateway.config.settings import Config
from gateway.storage.backend import Deadline, StorageBackend
from gateway.storage.memory.backend import memory_backend
from gateway.storage.redis.backend import redis_backend
from gateway.storage.redis.database import Database
from gateway.telemetry.metrics import Metrics


@asynccontextmanager
async def open_storage(
    config: Config,
    transport: Transport,
    *,
    deadline: Deadline,
    new_call_id: Callable[[], str],
    clock: Clock,
    metrics: Metrics,
) -> AsyncIterator[StorageBackend]:
    """Redis if `storage.url` is set, else memory. Raises UnusableUrl.

    `transport` sends callbacks, `deadline` says when a call is due, `new_call_id` names calls that
    are created with an idempotency key. The caller closes the outbox.
    """
    if not config.storage.url:
        yield memory_backend(
            config,
            transport,
            deadline=deadline,
            new_call_id=new_call_id,
            clock=clock,
            metrics=metrics,
        )
        return
    async with Database.open(config.storage, metrics.storage.observe) as database:
        yield redis_backend(
            database,
            config,
            transport,
            deadline=deadline,
            new_call_id=new_call_id,
            clock=clock,
            metrics=metrics,
        )
