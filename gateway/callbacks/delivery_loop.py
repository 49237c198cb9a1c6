"""Delivers one callback: attempts until the receiver accepts it or the delivery has failed."""

import asyncio
import random
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from common.urls import without_query
from gateway.callbacks.delivery import Answer, Delivery, DeliveryStatus
from gateway.config.settings import CallbackSettings
from gateway.telemetry import tracing
from gateway.telemetry.metrics import Metrics

log = structlog.get_logger()


class Transport(Protocol):
    async def send(self, url: str, body: str, event_id: str) -> Answer:
        """Make one attempt; an error is an Answer too."""


class Deliverer:
    """`clock` in ms since epoch."""

    def __init__(
        self,
        settings: CallbackSettings,
        transport: Transport,
        clock: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._metrics = metrics

    async def deliver(
        self, delivery: Delivery, save: Callable[[Delivery], Awaitable[None]]
    ) -> None:
        """Return once `delivery` is delivered or failed; `save` it after each attempt before.

        A defect fails it instead of blocking the deliveries behind it.
        """
        with tracing.of_call(delivery.call_id, delivery.traceparent):
            try:
                await self._deliver(delivery, save)
            except Exception as error:
                log_crash(delivery, error)
                delivery.fail(f"the gateway has a defect: {type(error).__name__}")
                self._metrics.callbacks_ended.labels(delivery.event, delivery.status).inc()

    async def _deliver(
        self, delivery: Delivery, save: Callable[[Delivery], Awaitable[None]]
    ) -> None:
        while True:
            answer = await self._attempt(delivery)
            delivery.record_attempt(
                answer, self._clock(), give_up_after=self._settings.give_up_after
            )
            if not delivery.is_pending:
                break
            self._metrics.callback_retries.labels(delivery.event).inc()
            if delivery.attempts == 1:
                _log_first_failure(delivery)
            await save(delivery)
            jitter = random.uniform(0.5, 1.0)  # noqa: S311 - not used for security
            await asyncio.sleep(delivery.backoff(answer, jitter))
        is_delivered = delivery.status is DeliveryStatus.DELIVERED
        level, event = (log.info, "delivered") if is_delivered else (log.warning, "failed")
        self._metrics.callbacks_ended.labels(delivery.event, delivery.status).inc()
        level(
            f"callback.{event}",
            call_id=delivery.call_id,
            kind=delivery.event,
            url=without_query(delivery.url),
            attempts=delivery.attempts,
            error=delivery.last_error,
        )

    async def _attempt(self, delivery: Delivery) -> Answer:
        """Send it; an exception that the transport does not expect is a failed attempt, too."""
        began = time.perf_counter()
        try:
            answer = await self._transport.send(delivery.url, delivery.body, delivery.event_id)
        except Exception as error:
            log_crash(delivery, error)
            answer = Answer(None, f"could not be sent: {type(error).__name__}")
        seconds = time.perf_counter() - began
        self._metrics.callbacks.observe(delivery.event, seconds, _problem_of(answer))
        return answer


def _problem_of(answer: Answer) -> str:
    """A word for a metric: of receivers' statuses there are many."""
    if answer.is_accepted:
        return ""
    return "no_answer" if answer.status is None else f"{answer.status // 100}xx"


def log_crash(delivery: Delivery, error: Exception) -> None:
    """Log a defect, without the error's text: it may quote the URL, whose query may be a secret."""
    log.error(
        "callback.crashed",
        call_id=delivery.call_id,
        kind=delivery.event,
        error=type(error).__name__,
        exception="".join(traceback.format_tb(error.__traceback__)),
    )


def _log_first_failure(delivery: Delivery) -> None:
    """The next attempts are not logged: there may be many until it is delivered or has failed."""
    # n8n's Wait node answers 409 until it waits: that is no fault.
    level = log.info if delivery.last_status == 409 else log.warning
    level(
        "callback.retrying",
        call_id=delivery.call_id,
        kind=delivery.event,
        url=without_query(delivery.url),
        error=delivery.last_error,
    )


def log_lost(delivery: Delivery) -> None:
    """Log that `delivery` will not be delivered."""
    log.error(
        "callback.lost",
        call_id=delivery.call_id,
        url=without_query(delivery.url),
        kind=delivery.event,
    )
