"""What a storage backend consists of; `stores.open_storage()` opens the configured one."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.calls.call import Call
from gateway.storage.feed import Feed
from gateway.storage.idempotency import IdempotencyStore
from gateway.storage.leader import LeaderLock
from gateway.storage.outbox import Outbox
from gateway.storage.registry import CallRegistry
from gateway.storage.unsaved import UnsavedCalls

#: When a call is due next, in ms since epoch; None if nothing more is due.
Deadline = Callable[[Call], int | None]


@dataclass(frozen=True, slots=True)
class StorageBackend:
    """`background` must run, each function in a task of its own, while the backend is in use.

    `probe` writes something; it raises StorageUnavailable if calls could not be stored now.
    `delete` forgets ended calls at once, with their callbacks and the live feed; it may raise
    StorageUnavailable.
    """

    registry: CallRegistry
    outbox: Outbox
    idempotency: IdempotencyStore
    feed: Feed
    leader: LeaderLock
    unsaved: UnsavedCalls
    probe: Callable[[], Awaitable[None]]
    delete: Callable[[Sequence[str]], Awaitable[None]]
    background: Sequence[Callable[[], Awaitable[None]]] = ()
