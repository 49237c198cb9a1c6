"""The unsaved calls that gateways share: update_call.lua adds them with the change itself."""

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.calls.call import Call
from gateway.errors import RecordUnreadable
from gateway.storage.redis.call_records import CallRecords
from gateway.storage.redis.database import Database
from gateway.storage.redis.outbox import in_order
from gateway.storage.serialization import (
    load_call,
    load_delivery,
    load_readable,
    log_unreadable,
)
from gateway.storage.unsaved import Claim, UnsavedCall

#: How long a gateway has to save what it has claimed, in ms; then another may.
LEASE_MS = 30_000


class RedisUnsavedCalls:
    """See UnsavedCalls."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._records = CallRecords(database)
        self._key = database.key("unsaved")

    async def claim(self, limit: int, *, settled_only: bool = True) -> Claim:
        revision, lease, waiting, lost, *rest = await self._database.run(
            "claim_unsaved", self._key, limit, LEASE_MS, "1" if settled_only else ""
        )
        calls = list(self._calls(iter(rest), int(revision)))
        return Claim(calls, int(lease), int(waiting), int(lost))

    async def saved(self, claim: Claim, call_ids: Sequence[str]) -> None:
        await self._database.run("end_claim", self._key, claim.lease, "1", *call_ids)

    async def release(self, claim: Claim) -> None:
        ids = [item.call_id for item in claim.calls]
        await self._database.run("end_claim", self._key, claim.lease, "", *ids)

    async def waiting(self, limit: int) -> Sequence[Call]:
        ids = await self._database.execute("ZRANGE", self._key, 0, limit - 1)
        return await self._records.read_many(ids)

    def _calls(self, items: Iterator[Any], revision: int) -> Iterator[UnsavedCall]:
        """What claim_unsaved.lua returns; a call that a newer gateway has written is left to it."""
        for call_id in items:
            text, number = next(items), int(next(items))
            key = self._database.key("deliveries", call_id)
            deliveries = load_readable(load_delivery, [(key, next(items)) for _ in range(number)])
            try:
                call = load_call(text, self._records.key(call_id)) if text else None
            except RecordUnreadable as error:
                log_unreadable(str(error))
                continue
            views = [delivery.view() for delivery in in_order(deliveries)]
            yield UnsavedCall(call_id, call, views, revision)
