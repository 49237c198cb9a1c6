"""Brings one callback to its receiver: tried until it is taken or given up."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from gateway.callbacks.delivery import Answer, Delivery, DeliveryStatus
from gateway.config.settings import CallbackSettings
from gateway.security.callback_urls import without_query

log = structlog.get_logger()


class Transport(Protocol):
    async def send(self, url: str, body: str, event_id: str) -> Answer: ...


class Deliverer:
    """`clock` in ms since epoch."""

    def __init__(
        self, settings: CallbackSettings, transport: Transport, clock: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock

    async def deliver(
        self, delivery: Delivery, tried: Callable[[Delivery], Awaitable[None]]
    ) -> None:
        """Try until it is delivered or has failed; `tried` is told after each try in between."""
        while True:
            answer = await self._transport.send(delivery.url, delivery.body, delivery.event_id)
            delivery.record_attempt(
                answer, self._clock(), give_up_after=self._settings.give_up_after
            )
            if not delivery.is_pending:
                break
            await tried(delivery)
            await asyncio.sleep(delivery.backoff(answer) * random.uniform(0.5, 1.0))  # noqa: S311
        delivered = delivery.status is DeliveryStatus.DELIVERED
        level, event = (log.info, "delivered") if delivered else (log.warning, "failed")
        level(
            f"callback.{event}",
            call_id=delivery.call_id,
            kind=delivery.event,
            url=without_query(delivery.url),
            attempts=delivery.attempts,
            error=delivery.last_error,
        )


def lost(delivery: Delivery) -> None:
    """Log a callback that will not be delivered."""
    log.error(
        "callback.lost",
        call_id=delivery.call_id,
        url=without_query(delivery.url),
        kind=delivery.event,
    )
