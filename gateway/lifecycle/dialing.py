"""Dials a SIP leg into a call's room and records the outcome, also if LiveKit's answer is lost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from gateway.aio import BackgroundTasks
from gateway.calls.call import Call, Event, EventKind
from gateway.calls.reasons import DisconnectionReason, no_final_response
from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.dial_failures import dial_failure_reason
from gateway.livekit.sip import DIAL_MARGIN, SipParticipantRequest, SipParticipants

log = structlog.get_logger()

T = TypeVar("T")

#: Between two checks of a leg's status, in s.
POLL_INTERVAL = 0.5
#: Between two checks whether a leg rings, in s; shorter where it may not ring for long.
RINGING_INTERVAL = 2.0
RINGING_CHECKS = 4
#: The detail of a ringing leg in the timeline.
RINGS = "LiveKit's leg"


class Dialer:
    """Dials for calls of both directions. Errors are returned, not raised. `clock` in ms."""

    def __init__(
        self,
        *,
        lifecycle: Lifecycle,
        sip: SipParticipants,
        clock: Callable[[], int],
    ) -> None:
        self._lifecycle = lifecycle
        self._sip = sip
        self._clock = clock
        self._tasks = BackgroundTasks()

    def spawn(self, dialing: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `dialing` in the background until it ends or `close()` cancels it."""
        return self._tasks.spawn(dialing, name=name)

    async def close(self) -> None:
        """Stop following the legs; they and their calls go on at LiveKit."""
        await self._tasks.close()

    async def dial(self, call: Call, request: SipParticipantRequest) -> LiveKitError | None:
        """Ring the callee until the call is answered or has failed; returns why it failed."""
        try:
            await self._dial(call, request)
        except LiveKitRefused as error:
            await self._dial_failed(call, error)
            return error
        except LiveKitUnreachable as error:
            log.warning("call.dial_outcome_unknown", call_id=call.call_id, error=str(error))
            return await self.follow(call, max_wait=request.ringing_timeout + DIAL_MARGIN)
        await self._apply(call, EventKind.ANSWERED)
        return None

    async def _dial(self, call: Call, request: SipParticipantRequest) -> None:
        ringing = self.spawn(self._record_ringing(call), name=f"ringing {call.call_id}")
        try:
            await self._sip.dial(request)
        finally:
            ringing.cancel()

    async def follow(self, call: Call, *, max_wait: float) -> LiveKitError | None:
        """Poll LiveKit for the outcome of a leg that this gateway does not wait for itself.

        The dial has failed if the leg is gone, or is not answered within `max_wait` s.
        """
        deadline = self._clock() + max_wait * 1000
        was_seen = has_rung = False
        reason: DisconnectionReason | None = None
        while self._clock() < deadline:
            if not (await self._lifecycle.refreshed(call)).is_active:
                return None
            status = await self._status(call)
            if status == "active":
                await self._apply(call, EventKind.ANSWERED)
                return None
            if was_seen and status is None:
                reason = None  # the far end refused, and LiveKit does not say with which status
                break
            if status == "ringing" and not has_rung:
                has_rung = True
                await self._apply(call, EventKind.RINGING, detail=RINGS)
            was_seen = was_seen or bool(status)
            reason = no_final_response(has_rung=has_rung) if was_seen else None
            await asyncio.sleep(POLL_INTERVAL)
        error = LiveKitUnreachable("the callee did not answer, and LiveKit gave no reason")
        await self._apply(call, EventKind.DIAL_FAILED, detail=str(error), reason=reason)
        return error

    async def _record_ringing(self, call: Call) -> None:
        """Record that the leg rings, of which LiveKit sends no webhook.

        By that a callee who is out is told from a carrier that does not answer.
        """
        while True:
            await asyncio.sleep(min(RINGING_INTERVAL, call.ringing_timeout / RINGING_CHECKS))
            if await self._status(call) == "ringing":
                await self._apply(call, EventKind.RINGING, detail=RINGS)
                return

    async def _dial_failed(self, call: Call, error: LiveKitRefused) -> None:
        has_rung = (await self._lifecycle.refreshed(call)).has_rung
        reason = dial_failure_reason(error, has_rung=has_rung)
        event = Event(
            EventKind.DIAL_FAILED,
            self._clock(),
            reason=reason,
            sip=error.sip,
            detail=error.reason,
        )
        await self._lifecycle.apply(call.call_id, event)

    async def _status(self, call: Call) -> str | None:
        """The leg's `sip.callStatus`; None if there is no leg, "" if LiveKit does not answer."""
        try:
            return await self._sip.status(call)
        except LiveKitError as error:
            log.warning("call.follow_failed", call_id=call.call_id, error=str(error))
            return ""

    async def _apply(
        self,
        call: Call,
        kind: EventKind,
        *,
        detail: str = "",
        reason: DisconnectionReason | None = None,
    ) -> None:
        event = Event(kind, self._clock(), detail=detail, reason=reason)
        await self._lifecycle.apply(call.call_id, event)
