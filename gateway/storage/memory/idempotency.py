"""The idempotency keys of one process, each with the task that creates its call."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.aio import BackgroundTasks
from gateway.calls.call import Call
from gateway.errors import GatewayError
from gateway.storage.idempotency import Create, Outcome, call_or_raise, keeps_key, key_reused

#: How many keys are stored; beyond that the oldest is dropped.
MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    fingerprint: str
    call_id: str
    creation: asyncio.Task[Outcome]
    expires_at: int


class MemoryIdempotencyStore:
    """See IdempotencyStore. Keys expire after `ttl` s; `clock` in ms since epoch."""

    def __init__(
        self, *, ttl: float, new_call_id: Callable[[], str], clock: Callable[[], int]
    ) -> None:
        self._ttl_ms = int(ttl * 1000)
        self._new_call_id = new_call_id
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._tasks = BackgroundTasks()

    async def run(self, key: str, fingerprint: str, create: Create) -> Call:
        if not key:
            return await create(self._new_call_id())
        self._drop_expired()
        entry = self._entries.get(key) or self._start(key, fingerprint, create)
        if entry.fingerprint != fingerprint:
            raise key_reused()
        return call_or_raise(await asyncio.shield(entry.creation))

    async def find(self, keys: Sequence[str]) -> Mapping[str, str]:
        self._drop_expired()
        return {key: self._entries[key].call_id for key in keys if key in self._entries}

    def _start(self, key: str, fingerprint: str, create: Create) -> _Entry:
        call_id = self._new_call_id()
        creation = self._tasks.spawn(self._create(key, call_id, create), name=f"create {call_id}")
        entry = _Entry(fingerprint, call_id, creation, self._clock() + self._ttl_ms)
        self._entries[key] = entry
        if len(self._entries) > MAX_KEYS:
            self._entries.popitem(last=False)
        return entry

    async def _create(self, key: str, call_id: str, create: Create) -> Outcome:
        outcome: Outcome
        try:
            outcome = await create(call_id)
        except GatewayError as error:
            outcome = error
        except BaseException:
            self._entries.pop(key, None)
            raise
        if not keeps_key(outcome):
            self._entries.pop(key, None)
        return outcome

    def _drop_expired(self) -> None:
        now = self._clock()
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            if oldest.expires_at > now:
                return
            del self._entries[key]
