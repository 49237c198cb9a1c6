"""The same request twice is one request: both get the first one's outcome. No I/O of its own."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.errors import ApiError, LiveKitUnreachable

T = TypeVar("T")

#: Keys remembered at most; the oldest is forgotten first.
LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    fingerprint: str
    outcome: "asyncio.Future[T]"
    expires_at: int


class OnceOnly(Generic[T]):
    """Outcomes by key, kept for `ttl` seconds. `clock` in ms since epoch."""

    def __init__(self, *, ttl: float, clock: Callable[[], int]) -> None:
        self._ttl_ms = int(ttl * 1000)
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()

    async def run(self, key: str, fingerprint: str, make: Callable[[], Awaitable[T]]) -> T:
        """`make()`'s outcome, made once a key. "" is no key.

        A refusal is an outcome like any other; a fault that may pass (429, 503) is forgotten, so
        that trying again is worth it. Raises ApiError 409 for a key that came with another
        `fingerprint`, and whatever `make` raises.
        """
        if not key:
            return await make()
        self._forget_expired()
        entry = self._entries.get(key)
        if entry is None:
            return await self._first(key, fingerprint, make)
        if entry.fingerprint != fingerprint:
            raise ApiError(
                409,
                "idempotency_key_reused",
                "this idempotency key came with another body before; use a key a call",
            )
        return await asyncio.shield(entry.outcome)

    async def _first(self, key: str, fingerprint: str, make: Callable[[], Awaitable[T]]) -> T:
        task = asyncio.ensure_future(make())
        expires_at = self._clock() + self._ttl_ms
        self._entries[key] = _Entry(fingerprint, task, expires_at)
        if len(self._entries) > LIMIT:
            self._entries.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except (ApiError, LiveKitUnreachable) as error:
            if not isinstance(error, ApiError) or error.status in {429, 503}:
                self._entries.pop(key, None)
            raise

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            if oldest.expires_at > now:
                return
            del self._entries[key]
