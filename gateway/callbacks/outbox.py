"""Which callbacks a call's changes ask for, and their delivery: in order, each by its own task."""

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog

from gateway.callbacks.delivery import Answer, Delivery, DeliveryStatus
from gateway.callbacks.targets import without_query
from gateway.calls import Call, Change
from gateway.settings import CallbackSettings
from gateway.views import reported, summary

log = structlog.get_logger()


class Sends(Protocol):
    async def send(self, url: str, body: str, event_id: str) -> Answer: ...


class Outbox:
    """Deliveries by call. One chain a call and URL: a slow receiver delays nobody else."""

    def __init__(self, settings: CallbackSettings, sender: Sends, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._sender = sender
        self._clock = clock
        self._deliveries: dict[str, list[Delivery]] = {}
        self._chains: dict[tuple[str, str], deque[Delivery]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unreported: dict[str, tuple[Call, int]] = {}
        self._leaving: set[str] = set()

    def changed(self, change: Change) -> None:
        """A call changed: queue what its receivers are to hear of it."""
        call = change.after
        if change.answered:
            self._tell(call, "call_started")
        if call.transfer and change.transfer_started:
            self._tell(call, "transfer_started", call.transfer.number)
        if call.transfer and change.transfer_ended:
            self._tell(call, "transfer_ended", call.transfer.number)
        if change.ended:
            self._tell(call, "call_ended")
            due = self._clock() + round(self._settings.report_timeout * 1000)
            self._unreported[call.call_id] = (call, due)
        if call.report and call.call_id in self._unreported:
            del self._unreported[call.call_id]
            self._tell(call, "call_analyzed")

    def tick(self) -> None:
        """Tell of calls whose agent's report does not come; drop what nobody asks for any more."""
        now = self._clock()
        for call_id in [call_id for call_id in self._leaving if self._is_settled(call_id)]:
            self._leaving.discard(call_id)
            self._deliveries.pop(call_id, None)
        for call_id, (call, due) in list(self._unreported.items()):
            if due <= now:
                del self._unreported[call_id]
                self._tell(call, "call_analyzed")

    def of(self, call_id: str) -> list[Delivery]:
        """The deliveries about a call, oldest first."""
        return self._deliveries.get(call_id, [])

    def retry(self, call_id: str, delivery_id: str) -> Delivery | None:
        """Try a delivery once more, whatever became of it; None if there is none of that id."""
        for delivery in self.of(call_id):
            if delivery.delivery_id == delivery_id:
                if delivery.status is not DeliveryStatus.PENDING:
                    delivery.again(self._clock())
                    self._enqueue(call_id, delivery)
                return delivery
        return None

    def forget(self, call_ids: Iterable[str]) -> None:
        """These calls are not kept any more; neither are their deliveries, once settled."""
        self._leaving.update(call_ids)

    async def close(self, *, grace: float) -> None:
        """Give what is under way `grace` s to arrive; the rest is logged and lost."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for (call_id, url), chain in self._chains.items():
            for delivery in chain:
                log.error(
                    "callback.lost", call_id=call_id, url=without_query(url), kind=delivery.event
                )

    def _is_settled(self, call_id: str) -> bool:
        return all(d.status is not DeliveryStatus.PENDING for d in self.of(call_id))

    def _tell(self, call: Call, event: str, number: int | None = None) -> None:
        """Queue `event`; `number` tells it from others of its kind about the same call."""
        receivers = self._receivers(call, event)
        if not receivers:
            return
        suffix = "" if number is None else f"_{number}"
        event_id = f"evt_{call.call_id}_{event}{suffix}"
        body = json.dumps({"event": event, "event_id": event_id, "call": _told(call, event)})
        for place, url in enumerate(receivers):
            if self._pending_count() >= self._settings.max_pending:
                log.error("callback.dropped", call_id=call.call_id, kind=event)
                return
            delivery = Delivery(
                delivery_id=f"dlv_{call.call_id}_{event}{suffix}_{place}",
                event=event,
                event_id=event_id,
                url=url,
                body=body,
                created_at=self._clock(),
                pending_since=self._clock(),
            )
            self._deliveries.setdefault(call.call_id, []).append(delivery)
            self._enqueue(call.call_id, delivery)

    def _receivers(self, call: Call, event: str) -> list[str]:
        wanted = not call.callback_events or event in call.callback_events
        own = [call.callback_url] if call.callback_url and wanted else []
        return [*own, *(url for url in self._settings.urls if url != call.callback_url)]

    def _pending_count(self) -> int:
        return sum(len(chain) for chain in self._chains.values())

    def _enqueue(self, call_id: str, delivery: Delivery) -> None:
        key = call_id, delivery.url
        chain = self._chains.get(key)
        if chain is not None:
            chain.append(delivery)
            return
        self._chains[key] = deque([delivery])
        task = asyncio.create_task(self._run(key), name=f"callbacks {call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def _run(self, key: tuple[str, str]) -> None:
        chain = self._chains[key]
        while chain:
            await self._deliver(key[0], chain[0])
            chain.popleft()
        del self._chains[key]

    async def _deliver(self, call_id: str, delivery: Delivery) -> None:
        while True:
            answer = await self._sender.send(delivery.url, delivery.body, delivery.event_id)
            delivery.note(answer, self._clock(), give_up_after=self._settings.give_up_after)
            if delivery.status is not DeliveryStatus.PENDING:
                break
            await asyncio.sleep(delivery.pause(answer) * random.uniform(0.5, 1.0))  # noqa: S311
        level = log.info if delivery.status is DeliveryStatus.DELIVERED else log.warning
        level(
            "callback.done",
            call_id=call_id,
            kind=delivery.event,
            url=without_query(delivery.url),
            outcome=delivery.status,
            attempts=delivery.attempts,
            error=delivery.last_error,
        )

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("callback.failed", task=task.get_name(), exc_info=error)


def _told(call: Call, event: str) -> Mapping[str, object]:
    return reported(call) if event == "call_analyzed" else summary(call)
