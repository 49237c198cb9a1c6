"""A SIP leg that LiveKit makes into a call's room: dialed, waited for, followed where need be."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from gateway.calls.call import Call, DisconnectionReason, Event, EventKind, dial_failure_reason
from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.sip import DIAL_MARGIN, DialOrder, SipLegs

log = structlog.get_logger()

T = TypeVar("T")

#: Between two looks at what became of a leg, in s.
FOLLOW_EVERY = 0.5


class Dialer:
    """Dials; what comes of it is the call's state. Nothing is raised, failures are returned."""

    def __init__(
        self,
        *,
        lifecycle: Lifecycle,
        sip: SipLegs,
        clock: Callable[[], int],
    ) -> None:
        self._lifecycle = lifecycle
        self._sip = sip
        self._clock = clock
        self._underway: set[asyncio.Task[Any]] = set()

    def spawn(self, dialing: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run it beside the doors: a failure nobody thought of is logged, `close()` ends it."""
        task = asyncio.create_task(dialing, name=name)
        self._underway.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Stop following the legs under way; LiveKit holds the calls."""
        for task in self._underway:
            task.cancel()
        await asyncio.gather(*self._underway, return_exceptions=True)

    async def dial(self, call: Call, order: DialOrder) -> LiveKitError | None:
        """Ring the far end until the call is answered or not; what went wrong, if anything."""
        try:
            await self._sip.dial(order)
        except LiveKitRefused as refusal:
            await self._not_connected(call, refusal)
            return refusal
        except LiveKitUnreachable as error:
            log.warning("call.dial_outcome_unknown", call_id=call.call_id, error=str(error))
            return await self.follow(call, patience=order.ringing_timeout + DIAL_MARGIN)
        await self._apply(call, EventKind.ANSWERED)
        return None

    async def follow(self, call: Call, *, patience: float) -> LiveKitError | None:
        """The leg is not ours to wait for, or its outcome was lost: see what LiveKit has of it.

        One that has not been answered after `patience` s has failed.
        """
        deadline = self._clock() + patience * 1000
        was_there = False
        while self._clock() < deadline:
            if not (await self._lifecycle.refreshed(call)).is_active:
                return None
            status = await self._status(call)
            if status == "active":
                await self._apply(call, EventKind.ANSWERED)
                return None
            if was_there and status is None:
                break
            was_there = was_there or bool(status)
            await asyncio.sleep(FOLLOW_EVERY)
        failure = LiveKitUnreachable("the far end did not answer, LiveKit did not say why")
        await self._apply(call, EventKind.DIAL_FAILED, detail=str(failure))
        return failure

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._underway.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("call.dial_failed", task=task.get_name(), exc_info=error)

    async def _not_connected(self, call: Call, refusal: LiveKitRefused) -> None:
        timed_out = refusal.code in {"deadline_exceeded", "canceled"} and not refusal.sip
        reason = (
            DisconnectionReason.DIAL_NO_ANSWER if timed_out else dial_failure_reason(refusal.sip)
        )
        event = Event(
            EventKind.DIAL_FAILED,
            self._clock(),
            reason=reason,
            sip=refusal.sip,
            detail=refusal.reason,
        )
        await self._lifecycle.apply(call.call_id, event)

    async def _status(self, call: Call) -> str | None:
        """The SIP leg's status, None where there is no leg, "" while LiveKit is away."""
        try:
            return await self._sip.status(call.call_id)
        except LiveKitError as error:
            log.warning("call.follow_failed", call_id=call.call_id, error=str(error))
            return ""

    async def _apply(self, call: Call, kind: EventKind, *, detail: str = "") -> None:
        await self._lifecycle.apply(call.call_id, Event(kind, self._clock(), detail=detail))
