"""Idempotency keys of one process, with the outcome of each, or the making of it."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.calls.call import Call
from gateway.errors import GatewayError
from gateway.storage.idempotency import Create, is_transient, key_reused

#: Keys remembered at most; the oldest is forgotten first.
LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    fingerprint: str
    outcome: "asyncio.Future[Call]"
    expires_at: int


class MemoryIdempotencyStore:
    """Outcomes by key, kept for `ttl` seconds. `clock` in ms since epoch."""

    def __init__(
        self, *, ttl: float, new_call_id: Callable[[], str], clock: Callable[[], int]
    ) -> None:
        self._ttl_ms = int(ttl * 1000)
        self._new_call_id = new_call_id
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def run(self, key: str, fingerprint: str, create: Create) -> Call:
        if not key:
            return await create(self._new_call_id())
        self._forget_expired()
        entry = self._entries.get(key)
        if entry is None:
            return await self._first(key, fingerprint, create)
        if entry.fingerprint != fingerprint:
            raise key_reused()
        return await asyncio.shield(entry.outcome)

    async def _first(self, key: str, fingerprint: str, create: Create) -> Call:
        task = asyncio.ensure_future(create(self._new_call_id()))
        expires_at = self._clock() + self._ttl_ms
        self._entries[key] = _Entry(fingerprint, task, expires_at)
        if len(self._entries) > LIMIT:
            self._entries.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except GatewayError as error:
            if is_transient(error):
                self._entries.pop(key, None)
            raise

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            if oldest.expires_at > now:
                return
            del self._entries[key]
