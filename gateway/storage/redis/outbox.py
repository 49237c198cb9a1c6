"""The outbox that gateways share: a Redis stream of chains, read by one consumer group.

An entry of the stream is a chain, one call's deliveries to one URL in their order; whoever has read
it delivers all of it. What a gateway that died had read is taken over by another: a callback may
arrive twice then, with the same event id.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import structlog

from gateway.callbacks.delivery import Delivery
from gateway.callbacks.delivery_loop import Deliverer
from gateway.config.settings import CallbackSettings
from gateway.errors import StorageUnavailable
from gateway.storage.redis.database import Database

log = structlog.get_logger()

GROUP = "gateways"
#: How long a gateway may be silent before others take its chains over, in ms.
LEASE_MS = 10_000
#: Between two signs of life, and two looks for chains that were left, in s.
HOLD_EVERY = 3.0
#: How long a reader that holds nothing may be silent before it is forgotten, in ms.
GONE_MS = 60_000
#: How long a read waits for something to come, in ms: less than any request to Redis may take.
READ_MS = 400
#: Between two tries while Redis is away, in s.
PAUSE = 0.5
#: Chains that are read, held or taken over at a time.
BATCH = 100
#: In what order the callbacks of one moment are shown.
_ORDER = ("call_started", "transfer_started", "transfer_ended", "call_ended", "call_analyzed")


class RedisOutbox:
    """See Outbox; `run()` has to run beside it."""

    def __init__(
        self,
        database: Database,
        settings: CallbackSettings,
        deliverer: Deliverer,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._max_chains = settings.max_pending
        self._courier = deliverer
        self._clock = clock
        self._stream = database.key("outbox")
        self._chains: dict[str, asyncio.Task[None]] = {}
        self._away_until = 0.0

    async def of(self, call_id: str) -> Sequence[Delivery]:
        kept = await self._database.ask("HVALS", self._record(call_id))
        found = [Delivery.load(text) for text in kept]
        return sorted(found, key=lambda each: (each.created_at, _ORDER.index(each.event)))

    async def retry(self, call_id: str, delivery_id: str) -> Delivery | None:
        text = await self._database.ask("HGET", self._record(call_id), delivery_id)
        if text is None:
            return None
        delivery = Delivery.load(text)
        if not delivery.is_pending:
            delivery.reset(self._clock())
            chain = self._database.key("chain", delivery.chain)
            words = call_id, delivery_id, delivery.dump(), text, delivery.chain
            await self._database.run("requeue_delivery", chain, *words)
        return delivery

    async def forget(self, call_ids: Iterable[str]) -> None:
        """Dropping the call has dropped them, see prune.lua."""

    async def run(self) -> None:
        """Deliver what this gateway reads, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reading())
            group.create_task(self._holding())

    async def close(self, *, grace: float) -> None:
        """What has not arrived by then is left to the other gateways, at once."""
        tasks = list(self._chains.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._database.run("release_entries", self._stream, GROUP, self._database.name)
        except StorageUnavailable as error:
            # They are taken over once nothing was heard of us for long enough.
            log.warning("callback.release_failed", error=str(error))

    async def _reading(self) -> None:
        while True:
            try:
                await self._make_group()
                while True:
                    await self._read()
            except StorageUnavailable as error:
                self._was_away(error)
                await asyncio.sleep(PAUSE)

    async def _make_group(self) -> None:
        """Again too, should Redis have lost its data."""
        await self._database.run("create_group", self._stream, GROUP)

    async def _read(self) -> None:
        free = self._max_chains - len(self._chains)
        if free <= 0:
            await asyncio.sleep(PAUSE)
            return
        count = "COUNT", min(free, BATCH), "BLOCK", READ_MS
        answer = await self._database.ask(
            "XREADGROUP", "GROUP", GROUP, self._database.name, *count, "STREAMS", self._stream, ">"
        )
        self._take(entry for _, entries in answer for entry in entries)

    async def _holding(self) -> None:
        while True:
            await asyncio.sleep(HOLD_EVERY)
            try:
                await self._hold()
                if time.monotonic() >= self._away_until:
                    await self._take_over()
                    await self._database.run("remove_consumers", self._stream, GROUP, GONE_MS)
            except StorageUnavailable as error:
                self._was_away(error)

    def _was_away(self, error: StorageUnavailable) -> None:
        """While Redis is away nobody gives signs of life: none is gone for that."""
        if time.monotonic() >= self._away_until:  # said once, and not at each try
            log.warning("callback.storage_unavailable", chains=len(self._chains), error=str(error))
        self._away_until = time.monotonic() + LEASE_MS / 1000

    async def _hold(self) -> None:
        held = list(self._chains)
        for start in range(0, len(held), BATCH):
            words = GROUP, self._database.name, *held[start : start + BATCH]
            for entry_id in await self._database.run("renew_entries", self._stream, *words):
                if task := self._chains.get(entry_id):
                    task.cancel()

    async def _take_over(self) -> None:
        answer = await self._database.ask(
            "XAUTOCLAIM", self._stream, GROUP, self._database.name, LEASE_MS, "0", "COUNT", BATCH
        )
        self._take(answer[1])

    def _take(self, entries: Iterable[tuple[str | None, Mapping[str, str]]]) -> None:
        for entry_id, fields in entries:
            if entry_id is None or entry_id in self._chains:
                continue  # Redis 6.2 lists what was deleted meanwhile
            task = asyncio.create_task(
                self._work_off(entry_id, fields["chain"]), name=f"callbacks {fields['chain']}"
            )
            self._chains[entry_id] = task
            task.add_done_callback(partial(self._finished, entry_id))

    async def _work_off(self, entry_id: str, name: str) -> None:
        delivery = await self._next(entry_id, name)
        while delivery:
            await self._courier.deliver(delivery, self._keep)
            delivery = await self._next(entry_id, name, delivery)

    async def _next(
        self, entry_id: str, name: str, over: Delivery | None = None
    ) -> Delivery | None:
        """What is next in the chain, once it is kept that `over` is; None when that was all."""
        chain, call_id = self._database.key("chain", name), name.rpartition(":")[0]
        ours = call_id, entry_id, GROUP, self._database.name
        done = (over.delivery_id, over.dump()) if over else ("", "")
        while True:
            try:
                text = await self._database.run("complete_delivery", chain, *ours, *done)
            except StorageUnavailable:
                await asyncio.sleep(PAUSE)
            else:
                return Delivery.load(text) if text else None

    async def _keep(self, delivery: Delivery) -> None:
        """What was tried so far; while Redis is away only this gateway knows."""
        words = self._record(delivery.call_id), delivery.delivery_id, delivery.dump()
        try:
            await self._database.run("save_delivery", *words)
        except StorageUnavailable as error:
            log.warning("callback.save_failed", call_id=delivery.call_id, error=str(error))

    def _record(self, call_id: str) -> str:
        return self._database.key("deliveries", call_id)

    def _finished(self, entry_id: str, task: asyncio.Task[None]) -> None:
        self._chains.pop(entry_id, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("callback.failed", task=task.get_name(), exc_info=error)
