"""The outbox that gateways share: a Redis stream of chains, read by one consumer group.

A stream entry is a chain: the deliveries of one call to one URL, in order. The gateway that reads
the entry delivers the whole chain. If it dies, another gateway claims the entry; a callback may
then arrive twice, with the same event id.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from gateway.aio import BackgroundTasks
from gateway.callbacks.delivery import Delivery
from gateway.callbacks.delivery_loop import Deliverer
from gateway.callbacks.events import CallbackEvent
from gateway.config.settings import CallbackSettings
from gateway.errors import RecordUnreadable, StorageUnavailable
from gateway.storage.redis.call_records import MAX_SET_ASIDE
from gateway.storage.redis.database import Database
from gateway.storage.serialization import (
    dump_delivery,
    load_delivery,
    load_readable,
    log_unreadable,
)
from gateway.storage.unsaved import SETTLE_MS

log = structlog.get_logger()

#: The consumer group; each gateway is a consumer of it.
GROUP = "gateways"
#: How long a gateway may leave its entries unrenewed before others claim them, in ms.
LEASE_MS = 10_000
#: Pause between two renewals, each with a search for entries to claim, in s.
RENEW_INTERVAL = 3.0
#: How long a consumer without entries may be idle before it is removed, in ms.
CONSUMER_IDLE_MS = 60_000
#: How long a read waits for new entries, in ms; shorter than half of `storage.timeout` can be.
READ_BLOCK_MS = 200
#: Pause before the next attempt while Redis does not answer, in s.
RETRY_INTERVAL = 0.5
#: Entries that are read, renewed or claimed at a time.
BATCH = 100
#: Deliveries that were created at the same time are listed in this order.
_ORDER: dict[str, int] = {event: position for position, event in enumerate(CallbackEvent)}


class RedisOutbox:
    """See Outbox. Nothing is delivered unless `run()` runs in the background."""

    def __init__(
        self,
        database: Database,
        settings: CallbackSettings,
        deliverer: Deliverer,
        clock: Callable[[], int],
        *,
        has_history: bool,
    ) -> None:
        self._database = database
        self._max_chains = settings.max_pending
        self._give_up_after_ms = int(settings.give_up_after * 1000)
        self._deliverer = deliverer
        self._clock = clock
        self._settle_ms = SETTLE_MS if has_history else ""
        self._stream = database.key("outbox")
        self._tasks = BackgroundTasks()
        self._chains: dict[str, asyncio.Task[None]] = {}
        self._unavailable_until = 0.0

    async def of(self, call_id: str) -> Sequence[Delivery]:
        key = self._key(call_id)
        records = await self._database.execute("HGETALL", key)
        deliveries = load_readable(
            load_delivery, ((f"{key} {name}", text) for name, text in records.items())
        )
        return in_order(deliveries)

    async def retry(self, call_id: str, delivery_id: str) -> Delivery | None:
        key = self._key(call_id)
        text = await self._database.execute("HGET", key, delivery_id)
        if text is None:
            return None
        delivery = load_delivery(text, f"{key} {delivery_id}")
        if not delivery.is_pending:
            delivery.reset(self._clock())
            await self._database.run(
                "requeue_delivery",
                self._database.key("chain", delivery.chain),
                call_id,
                delivery_id,
                dump_delivery(delivery),
                text,
                delivery.chain,
                delivery.host,
            )
        return delivery

    async def pending(self) -> int:
        return int(await self._database.execute("GET", self._database.key("pending")) or 0)

    async def forget(self, call_ids: Iterable[str]) -> None:
        """Nothing to do: prune_calls.lua drops a call's deliveries with the call."""

    async def run(self) -> None:
        """Read chains and deliver them, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_forever())
            group.create_task(self._renew_forever())

    async def close(self, *, grace: float) -> None:
        """Chains that are not complete after `grace` s are left to the other gateways at once."""
        await self._tasks.close(grace=grace)
        try:
            gateway_id = self._database.gateway_id
            await self._database.run("release_entries", self._stream, GROUP, gateway_id)
        except StorageUnavailable as error:
            # The other gateways claim the entries after LEASE_MS.
            log.warning("callback.release_failed", error=str(error))

    async def _read_forever(self) -> None:
        while True:
            try:
                # Created again after Redis has lost its data.
                await self._database.run("create_group", self._stream, GROUP)
                while True:
                    await self._read()
            except StorageUnavailable as error:
                self._on_unavailable(error)
                await asyncio.sleep(RETRY_INTERVAL)

    async def _read(self) -> None:
        free = self._max_chains - len(self._chains)
        if free <= 0:
            await asyncio.sleep(RETRY_INTERVAL)
            return
        streams = await self._database.execute(
            "XREADGROUP",
            "GROUP",
            GROUP,
            self._database.gateway_id,
            "COUNT",
            min(free, BATCH),
            "BLOCK",
            READ_BLOCK_MS,
            "STREAMS",
            self._stream,
            ">",
        )
        self._start(entry for _, entries in streams for entry in entries)

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_INTERVAL)
            try:
                await self._renew()
                if time.monotonic() >= self._unavailable_until:
                    await self._claim_abandoned()
                    await self._database.run(
                        "remove_consumers", self._stream, GROUP, CONSUMER_IDLE_MS
                    )
            except StorageUnavailable as error:
                self._on_unavailable(error)

    def _on_unavailable(self, error: StorageUnavailable) -> None:
        """Claim nothing for a while: no gateway could renew, which does not mean that it died."""
        if time.monotonic() >= self._unavailable_until:  # logged once, not for each attempt
            log.warning("callback.storage_unavailable", chains=len(self._chains), error=str(error))
        self._unavailable_until = time.monotonic() + LEASE_MS / 1000

    async def _renew(self) -> None:
        entry_ids = list(self._chains)
        for start in range(0, len(entry_ids), BATCH):
            batch = entry_ids[start : start + BATCH]
            claimed_by_others = await self._database.run(
                "renew_entries", self._stream, GROUP, self._database.gateway_id, *batch
            )
            for entry_id in claimed_by_others:
                if task := self._chains.get(entry_id):
                    task.cancel()

    async def _claim_abandoned(self) -> None:
        _, entries, *_ = await self._database.execute(
            "XAUTOCLAIM",
            self._stream,
            GROUP,
            self._database.gateway_id,
            LEASE_MS,
            "0",
            "COUNT",
            BATCH,
        )
        self._start(entries)

    def _start(self, entries: Iterable[tuple[str | None, Mapping[str, str]]]) -> None:
        for entry_id, fields in entries:
            if entry_id is None or entry_id in self._chains:
                continue  # XAUTOCLAIM of Redis 6.2 returns deleted entries as None
            chain = fields["chain"]
            self._chains[entry_id] = self._tasks.spawn(
                self._deliver(entry_id, chain, fields.get("host", "")), name=f"callbacks {chain}"
            )

    async def _deliver(self, entry_id: str, chain: str, host: str) -> None:
        """Deliver the callbacks of `chain` to `host`, one after the other."""
        key = self._key(chain.rpartition(":")[0])
        completed = ("", "")
        try:
            while item := await self._next(entry_id, chain, host, *completed):
                delivery_id, text = item
                try:
                    delivery = load_delivery(text, f"{key} {delivery_id}")
                except RecordUnreadable as error:
                    log_unreadable(str(error))
                    if error.is_newer and not await self._is_old(entry_id):
                        return  # not renewed any more: a gateway that can read it may claim it
                    completed = (delivery_id, "")
                    continue
                await self._deliverer.deliver(delivery, self._save)
                completed = (delivery_id, dump_delivery(delivery))
        finally:
            del self._chains[entry_id]

    async def _next(
        self, entry_id: str, chain: str, host: str, completed_id: str, completed: str
    ) -> tuple[str, str] | None:
        """Store the completed delivery; the next one's id and record, None at the chain's end."""
        while True:
            try:
                item = await self._database.run(
                    "complete_delivery",
                    self._database.key("chain", chain),
                    chain.rpartition(":")[0],
                    entry_id,
                    GROUP,
                    self._database.gateway_id,
                    host,
                    completed_id,
                    completed,
                    MAX_SET_ASIDE,
                    self._settle_ms,
                )
            except StorageUnavailable:
                await asyncio.sleep(RETRY_INTERVAL)
            else:
                return tuple(item) if item else None

    async def _is_old(self, entry_id: str) -> bool:
        """Whether the entry was added more than `callbacks.give_up_after` ago, by Redis' clock."""
        seconds, _ = await self._database.execute("TIME")
        return int(seconds) * 1000 - int(entry_id.partition("-")[0]) > self._give_up_after_ms

    async def _save(self, delivery: Delivery) -> None:
        """Store the attempts so far; if Redis does not answer, the next attempt stores them."""
        key, text = self._key(delivery.call_id), dump_delivery(delivery)
        try:
            await self._database.run("save_delivery", key, delivery.delivery_id, text)
        except StorageUnavailable as error:
            log.warning("callback.save_failed", call_id=delivery.call_id, error=str(error))

    def _key(self, call_id: str) -> str:
        return self._database.key("deliveries", call_id)


def in_order(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """The deliveries of a call, oldest first."""
    return sorted(deliveries, key=_creation_order)


def _creation_order(delivery: Delivery) -> tuple[int, int]:
    return delivery.created_at, _ORDER.get(delivery.event, len(_ORDER))
