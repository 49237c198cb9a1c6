"""Idempotency keys that gateways share: each with its call's id and, in the end, the outcome."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import structlog

from gateway.aio import BackgroundTasks
from gateway.calls.call import Call
from gateway.errors import GatewayError, StorageUnavailable
from gateway.storage.idempotency import Create, Outcome, call_or_raise, keeps_key, key_reused
from gateway.storage.redis.database import Database
from gateway.storage.serialization import dump_outcome, load_outcome

log = structlog.get_logger()

#: How long a gateway holds a key without renewing its lease, in ms; then another may take it over.
LEASE_MS = 5_000
RENEW_INTERVAL = 1.5
#: Pause between two checks whether another gateway has stored the outcome, in s.
POLL_INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class _Claim:
    """A request's hold on a key: the Redis keys of its record and its lease, and who holds it."""

    record: str
    lease: str
    owner: str
    call_id: str


class RedisIdempotencyStore:
    """See IdempotencyStore. Keys expire after `ttl` s.

    The call's id is stored before the call is created. If the gateway that creates it dies, the
    next request with the key finishes that call under the same id: never a second call.
    """

    def __init__(self, database: Database, *, ttl: float, new_call_id: Callable[[], str]) -> None:
        self._database = database
        self._ttl_ms = int(ttl * 1000)
        self._new_call_id = new_call_id
        self._tasks = BackgroundTasks()

    async def run(self, key: str, fingerprint: str, create: Create) -> Call:
        if not key:
            return await create(self._new_call_id())
        record = self._record(key)
        claim = _Claim(record, f"{record}:lease", secrets.token_hex(8), self._new_call_id())
        while True:
            state, *stored = await self._claim(claim, fingerprint)
            if state == "new":
                return await self._create(claim, create)
            stored_fingerprint, call_id, outcome = stored
            if stored_fingerprint != fingerprint:
                raise key_reused()
            if state == "abandoned":
                return await self._create(replace(claim, call_id=call_id), create)
            if outcome:
                return call_or_raise(load_outcome(outcome, record))
            await asyncio.sleep(POLL_INTERVAL)

    async def find(self, keys: Sequence[str]) -> Mapping[str, str]:
        records = [self._record(key) for key in keys]
        if not records:
            return {}
        call_ids = await self._database.run("find_keys", *records)
        return {key: found for key, found in zip(keys, call_ids, strict=True) if found}

    def _record(self, key: str) -> str:
        return self._database.key("idempotency", hashlib.sha256(key.encode()).hexdigest())

    async def _claim(self, claim: _Claim, fingerprint: str) -> list[str]:
        answer: list[str] = await self._database.run(
            "claim_key",
            claim.record,
            claim.lease,
            claim.owner,
            fingerprint,
            claim.call_id,
            self._ttl_ms,
            LEASE_MS,
        )
        return answer

    async def _create(self, claim: _Claim, create: Create) -> Call:
        creation = self._tasks.spawn(
            self._create_and_store(claim, create), name=f"create {claim.call_id}"
        )
        return call_or_raise(await asyncio.shield(creation))

    async def _create_and_store(self, claim: _Claim, create: Create) -> Outcome:
        async with self._renewed_lease(claim):
            outcome: Outcome
            try:
                outcome = await create(claim.call_id)
            except GatewayError as error:
                outcome = error
            await self._store(claim, outcome)
            return outcome

    async def _store(self, claim: _Claim, outcome: Outcome) -> None:
        """If this fails, the key is abandoned, and the next request finishes its call.

        So it is where storage did not answer: the call may be stored, and may be dialed.
        """
        if isinstance(outcome, StorageUnavailable):
            return
        text = dump_outcome(outcome) if keeps_key(outcome) else ""
        try:
            await self._database.run(
                "store_result", claim.record, claim.lease, claim.owner, claim.call_id, text
            )
        except StorageUnavailable as error:
            log.warning("idempotency.save_failed", call_id=claim.call_id, error=str(error))

    @asynccontextmanager
    async def _renewed_lease(self, claim: _Claim) -> AsyncIterator[None]:
        renewal = self._tasks.spawn(self._renew(claim), name=f"lease of {claim.call_id}")
        try:
            yield
        finally:
            renewal.cancel()

    async def _renew(self, claim: _Claim) -> None:
        while True:
            await asyncio.sleep(RENEW_INTERVAL)
            try:
                await self._database.run("acquire_lock", claim.lease, claim.owner, LEASE_MS)
            except StorageUnavailable as error:
                log.warning(
                    "idempotency.lease_renewal_failed", call_id=claim.call_id, error=str(error)
                )
