"""Dials a SIP leg into a call's room and records the outcome, also if LiveKit's answer is lost."""

import asyncio
import time
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
#: How long after LiveKit has answered with an error the leg may still appear, in s.
UNSEEN_LIMIT = 1.0


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

    async def start(
        self, call: Call, request: SipParticipantRequest | None, *, max_wait: float
    ) -> asyncio.Task[LiveKitError | None]:
        """Dial in the background; the task returns why the dial failed, or None.

        That the call is dialed is stored before the INVITE is sent. So a call without that is safe
        to dial for whoever finishes it; one that was dialed before, by a gateway that died, is only
        followed, for at most `max_wait` s. So is one without a `request`: its agent dials. Raises
        StorageUnavailable; then nobody was called.
        """
        dialing = Event(EventKind.DIALING, self._clock(), detail=call.to_number)
        change = None if call.is_dialed else await self._lifecycle.commit(call.call_id, dialing)
        was_dialed = change is None or (change.before is not None and change.before.is_dialed)
        if change and not change.after.is_active:
            outcome = _not_dialed()
        elif was_dialed or request is None:
            outcome = self.follow(call, max_wait=max_wait)
        else:
            outcome = self.dial(call, request)
        return self.spawn(outcome, name=f"dial {call.call_id}")

    async def dial(self, call: Call, request: SipParticipantRequest) -> LiveKitError | None:
        """Ring the callee until the call is answered or has failed; returns why it failed.

        An error that leaves open whether the telephone rings is followed by the leg, which LiveKit
        shows from the INVITE on.
        """
        max_wait = request.ringing_timeout + DIAL_MARGIN
        try:
            await self._dial(call, request)
        except LiveKitError as error:
            if not error.is_ambiguous:
                await self._dial_failed(call, error)
                return error
            log.warning("call.dial_outcome_unknown", call_id=call.call_id, error=str(error))
            if isinstance(error, LiveKitRefused):
                return await self._follow(call, error, max_wait=max_wait, max_unseen=UNSEEN_LIMIT)
            return await self.follow(call, max_wait=max_wait)
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
        failure = LiveKitUnreachable("the callee did not answer, and LiveKit gave no reason")
        return await self._follow(call, failure, max_wait=max_wait, max_unseen=max_wait)

    async def _follow(
        self, call: Call, failure: LiveKitError, *, max_wait: float, max_unseen: float
    ) -> LiveKitError | None:
        """As `follow()`; no leg within `max_unseen` s is a failure, too. Returns `failure` then."""
        began = time.monotonic()
        was_seen = has_rung = is_gone = False
        while (passed := time.monotonic() - began) < max_wait:
            if not (await self._lifecycle.refreshed(call)).is_active:
                return None
            status = await self._status(call)
            if status == "active":
                await self._apply(call, EventKind.ANSWERED)
                return None
            if status is None and (was_seen or passed >= max_unseen):
                is_gone = True  # the far end refused, and LiveKit does not say with which status
                break
            if status == "ringing" and not has_rung:
                has_rung = True
                await self._apply(call, EventKind.RINGING, detail=RINGS)
            was_seen = was_seen or bool(status)
            await asyncio.sleep(POLL_INTERVAL)
        reason = no_final_response(has_rung=has_rung) if was_seen and not is_gone else None
        await self._dial_failed(call, failure, reason)
        return failure

    async def _record_ringing(self, call: Call) -> None:
        """Record that the leg rings, of which LiveKit sends no webhook.

        By that a callee who is out is told from a carrier that does not answer.
        """
        while True:
            await asyncio.sleep(min(RINGING_INTERVAL, call.ringing_timeout / RINGING_CHECKS))
            if await self._status(call) == "ringing":
                await self._apply(call, EventKind.RINGING, detail=RINGS)
                return

    async def _dial_failed(
        self, call: Call, error: LiveKitError, reason: DisconnectionReason | None = None
    ) -> None:
        """`reason`: why, where `error` does not say it."""
        at = self._clock()
        event = Event(EventKind.DIAL_FAILED, at, detail=str(error), reason=reason)
        if isinstance(error, LiveKitRefused):
            has_rung = (await self._lifecycle.refreshed(call)).has_rung
            reason = dial_failure_reason(error, has_rung=has_rung)
            event = Event(
                EventKind.DIAL_FAILED, at, detail=error.reason, reason=reason, sip=error.sip
            )
        await self._lifecycle.apply(call.call_id, event)

    async def _status(self, call: Call) -> str | None:
        """The leg's `sip.callStatus`; None if there is no leg, "" if LiveKit does not answer."""
        try:
            return await self._sip.status(call)
        except LiveKitError as error:
            log.warning("call.follow_failed", call_id=call.call_id, error=str(error))
            return ""

    async def _apply(self, call: Call, kind: EventKind, *, detail: str = "") -> None:
        await self._lifecycle.apply(call.call_id, Event(kind, self._clock(), detail=detail))


async def _not_dialed() -> LiveKitError | None:
    """The outcome for a call that ended right before its dial."""
    return None
