"""Idempotency keys that gateways share: each with its call's id, and what came of making it."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from gateway.calls.call import Call
from gateway.errors import ApiError, ErrorCode, GatewayError, LiveKitRefused, StorageUnavailable
from gateway.storage.idempotency import Create, is_transient, key_reused
from gateway.storage.redis.database import Database
from gateway.storage.redis.serialization import dump, load
from gateway.storage.registry import CallRegistry

log = structlog.get_logger()

#: How long a gateway may be silent before a call it was making is taken for left, in ms.
LEASE_MS = 5_000
RENEW_EVERY = 1.5
#: Between two looks at what another gateway makes of the same request, in s.
LOOK_EVERY = 0.1


class RedisIdempotencyStore:
    """Outcomes by key, kept for `ttl` seconds.

    A key has its call's id before the call is made: when the gateway that makes it dies, the same
    request gets that call, or makes it if it was never registered; never a second one.
    """

    def __init__(
        self,
        database: Database,
        registry: CallRegistry,
        *,
        ttl: float,
        new_call_id: Callable[[], str],
    ) -> None:
        self._database = database
        self._registry = registry
        self._ttl_ms = int(ttl * 1000)
        self._new_call_id = new_call_id
        self._making: set[asyncio.Task[Call]] = set()

    async def run(self, key: str, fingerprint: str, create: Create) -> Call:
        if not key:
            return await create(self._new_call_id())
        name = hashlib.sha256(key.encode()).hexdigest()
        who, call_id = secrets.token_hex(8), self._new_call_id()
        while True:
            state, *kept = await self._claim(name, who, fingerprint, call_id)
            if state == "first":
                return await self._make(name, who, call_id, create)
            if kept[0] != fingerprint:
                raise key_reused()
            if state == "left":
                return await self._go_on(name, who, kept[1], create)
            if kept[2]:
                return _outcome(kept[2])
            await asyncio.sleep(LOOK_EVERY)

    async def _claim(self, name: str, who: str, fingerprint: str, call_id: str) -> list[str]:
        words = self._lease(name), who, fingerprint, call_id, self._ttl_ms, LEASE_MS
        answer: list[str] = await self._database.run(
            "claim_key", self._database.key("key", name), *words
        )
        return answer

    async def _go_on(self, name: str, who: str, call_id: str, create: Create) -> Call:
        """Whoever made the call is gone; it stands as it is, if it got as far as being a call."""
        call = await self._registry.get(call_id)
        if call is None:
            return await self._make(name, who, call_id, create)
        await self._keep(name, who, call_id, _kept(call))
        return call

    async def _make(self, name: str, who: str, call_id: str, create: Create) -> Call:
        """Made to its end, also when whoever asks does not wait for it."""
        task = asyncio.create_task(self._made(name, who, call_id, create), name=f"make {call_id}")
        self._making.add(task)
        task.add_done_callback(self._making.discard)
        return await asyncio.shield(task)

    async def _made(self, name: str, who: str, call_id: str, create: Create) -> Call:
        async with self._holding(name, who):
            try:
                call = await create(call_id)
            except GatewayError as error:
                outcome = "" if is_transient(error) else _refused(error)
                await self._keep(name, who, call_id, outcome)
                raise
            await self._keep(name, who, call_id, _kept(call))
            return call

    async def _keep(self, name: str, who: str, call_id: str, outcome: str) -> None:
        """An outcome that cannot be kept is found out by the call itself, see `_go_on()`."""
        words = self._lease(name), who, call_id, outcome
        try:
            await self._database.run("store_result", self._database.key("key", name), *words)
        except StorageUnavailable as error:
            log.warning("idempotency.save_failed", error=str(error))

    def _lease(self, name: str) -> str:
        return self._database.key("key", name, "lease")

    @asynccontextmanager
    async def _holding(self, name: str, who: str) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEW_EVERY)
                try:
                    await self._database.run("acquire_lock", self._lease(name), who, LEASE_MS)
                except StorageUnavailable as error:
                    log.warning("idempotency.lease_renewal_failed", error=str(error))

        task = asyncio.create_task(renew(), name="idempotency lease")
        try:
            yield
        finally:
            task.cancel()


def _kept(call: Call) -> str:
    return json.dumps({"call": dump(call)})


def _refused(error: GatewayError) -> str:
    if isinstance(error, LiveKitRefused):
        fields = {"code": error.code, "message": error.message, "status": error.status}
        return json.dumps({"refused": {**fields, "meta": error.meta}})
    assert isinstance(error, ApiError)  # noqa: S101 - there is no other refusal
    fields = {"code": error.code, "message": error.message}
    return json.dumps({"error": {**fields, "details": error.details}})


def _outcome(text: str) -> Call:
    """The call; raises what was refused."""
    content: Mapping[str, Any] = json.loads(text)
    if refused := content.get("refused"):
        raise LiveKitRefused(**refused)
    if error := content.get("error"):
        raise ApiError(ErrorCode(error["code"]), error["message"], error["details"])
    return load(content["call"])
