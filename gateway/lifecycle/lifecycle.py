"""The only way a call changes: an event is applied in the registry, logged, and acted on."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from gateway.calls.call import Call, Event, EventKind
from gateway.calls.change import Change
from gateway.calls.reasons import DisconnectionReason
from gateway.errors import StorageUnavailable
from gateway.lifecycle.call_metrics import count_change
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.storage.registry import NO_LIMITS, ActiveLimits, Added, CallRegistry
from gateway.telemetry import tracing
from gateway.telemetry.metrics import Metrics

log = structlog.get_logger()

#: How long the room stays after the caller has left, in ms: agents finish their work in it.
AGENT_EXIT_GRACE_MS = 5_000
#: How long a room that is being deleted has to be gone, in ms: until then another request makes
#: livekit-server open it again, with another agent (`RoomService.DeleteRoom`, 1.13.5).
ROOM_CLOSE_GRACE_MS = 1_000
_CALLER_LEFT = {
    DisconnectionReason.USER_HANGUP,
    DisconnectionReason.CALL_TRANSFER,
    DisconnectionReason.CONNECTION_LOST,
}
#: What shows that a leg is in the room.
_OF_A_LEG = {EventKind.CALLER_JOINED, EventKind.ANSWERED}
#: An agent that ends a call deletes the room, too.
_CLOSES_THE_ROOM = {EventKind.AGENT_ENDED, EventKind.AGENT_FAILED, EventKind.ROOM_FINISHED}


@dataclass(slots=True)
class _Attempts:
    """The attempts to store one change, and the id by which storage recognises it."""

    number: int = 0
    change_id: str = field(default_factory=lambda: secrets.token_hex(8))


class Lifecycle:
    """Registers calls and applies events to them."""

    def __init__(
        self,
        registry: CallRegistry,
        room_cleanup: RoomCleanup,
        deferred: DeferredWrites,
        metrics: Metrics,
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._room_cleanup = room_cleanup
        self._deferred = deferred
        self._watched: dict[str, set[asyncio.Event]] = {}

    async def register(
        self, call: Call, limits: ActiveLimits = NO_LIMITS, *, replaces: str = ""
    ) -> Added:
        """Store `call`; if one with its Jambonz `call_sid` is stored already, that one is returned.

        Unless that is the call `replaces`. Raises LimitReached, StorageUnavailable.
        """
        added = await self._registry.add(call, limits, replaces=replaces)
        tracing.join(added.call.call_id, added.call.traceparent)
        if added.is_new:
            self._metrics.calls_registered.labels(call.direction).inc()
            log.info(
                "call.registered",
                call_id=call.call_id,
                direction=call.direction,
                agent_name=call.agent_name,
                call_sid=call.jambonz.get("call_sid"),
            )
        return added

    async def apply(self, call_id: str, event: Event) -> Call | None:
        """Apply `event`; returns the call after it.

        None if there is no such call, or if storage is unavailable: then the event is applied when
        storage answers again.
        """
        results: list[Call] = []
        attempts = _Attempts()

        async def write() -> None:
            if call := await self._apply(call_id, event, attempts):
                results.append(call)

        await self._deferred.write(call_id, write)
        return results[0] if results else None

    async def commit(self, call_id: str, event: Event) -> Change | None:
        """As `apply()`, but now or not at all; the call before and after the event.

        Raises StorageUnavailable: then the event may be stored or not.
        """
        change = await self._registry.apply(call_id, event)
        if change:
            self._act_on(change, event)
        return change

    @contextmanager
    def watching(self, call_id: str) -> Iterator[asyncio.Event]:
        """An event that is set by each change of the call which this gateway makes."""
        changed = asyncio.Event()
        watchers = self._watched.setdefault(call_id, set())
        watchers.add(changed)
        try:
            yield changed
        finally:
            watchers.remove(changed)
            if not watchers:
                self._watched.pop(call_id, None)

    async def apply_to(
        self,
        key: str,
        find: Callable[[str], Awaitable[Call | None]],
        event_of: Callable[[Call], Event],
    ) -> Call | None:
        """Apply `event_of(call)` to the call that `find(key)` returns; returns it as it was before.

        None if there is no such call, or if storage is unavailable: then the event is applied when
        storage answers again, after earlier events with this `key`.
        """
        results: list[Call] = []
        attempts = _Attempts()

        async def write() -> None:
            if call := await find(key):
                results.append(call)
                await self._apply(call.call_id, event_of(call), attempts)

        await self._deferred.write(key, write)
        return results[0] if results else None

    def defer(self, call_id: str, event_of: Callable[[Call], Event]) -> None:
        """As `apply_to()`, but with the next replay, because storage has just been unavailable."""
        attempts = _Attempts(number=1)

        async def write() -> None:
            if call := await self._registry.get(call_id):
                await self._apply(call_id, event_of(call), attempts)

        self._deferred.defer(call_id, write)

    async def refreshed(self, call: Call) -> Call:
        """The call as it is stored now; `call` itself while storage is unavailable."""
        try:
            return await self._registry.get(call.call_id) or call
        except StorageUnavailable:
            return call

    async def _apply(self, call_id: str, event: Event, attempts: _Attempts) -> Call | None:
        attempts.number += 1
        change = await self._registry.apply(call_id, event, change_id=attempts.change_id)
        if change is None:
            # Usual: LiveKit's webhooks are also about rooms of other applications.
            log.debug("call.not_found", call_id=call_id, kind=event.kind)
            return None
        self._act_on(change, event, is_retry=attempts.number > 1)
        return change.after

    def _act_on(self, change: Change, event: Event, *, is_retry: bool = False) -> None:
        with tracing.of_call(change.after.call_id, change.after.traceparent):
            self._follow_up(change, event, is_retry=is_retry)

    def _follow_up(self, change: Change, event: Event, *, is_retry: bool) -> None:
        call = change.after
        log.debug("call.event", call_id=call.call_id, kind=event.kind, detail=event.detail)
        count_change(self._metrics, change, event)
        for changed in self._watched.get(call.call_id, ()):
            changed.set()
        if change.ended:
            self._call_ended(call, event)
        elif change.answered:
            log.info("call.ongoing", call_id=call.call_id)
        elif _is_over(call) and (is_retry or event.kind in _OF_A_LEG):
            # An earlier attempt may have ended the call although its response was lost; and a leg
            # that was on its way when the call ended would never be answered.
            self._schedule_room_deletion(call, event)

    def _schedule_room_deletion(self, call: Call, event: Event) -> None:
        answered = call.answer_timestamp is not None
        is_alone = call.handed_over and call.agent_absence is not None
        agent_finishes = answered and not is_alone and call.disconnection_reason in _CALLER_LEFT
        if agent_finishes:
            grace_ms = AGENT_EXIT_GRACE_MS
        else:
            grace_ms = ROOM_CLOSE_GRACE_MS if event.kind in _CLOSES_THE_ROOM else 0
        self._room_cleanup.schedule(call.call_id, grace_ms=grace_ms)

    def _call_ended(self, call: Call, event: Event) -> None:
        if _is_over(call):
            self._schedule_room_deletion(call, event)
        log.info(
            "call.ended",
            call_id=call.call_id,
            call_status=call.call_status,
            reason=call.disconnection_reason,
            sip_status=call.sip.status if call.sip else None,
            duration_ms=call.duration_ms,
            detail=event.detail,
        )
        _record_trace(call)


def _is_over(call: Call) -> bool:
    """Whether the call has ended for sure; else people may still talk in its room."""
    return not (call.is_active or call.end_presumed)


def _record_trace(call: Call) -> None:
    attributes = {
        "call.direction": call.direction,
        "call.status": call.call_status,
        "call.disconnection_reason": call.disconnection_reason or "",
        "call.sip_status": call.sip.status if call.sip else 0,
    }
    tracing.record_call(
        call.call_id,
        call.traceparent,
        began=call.start_timestamp,
        ended=call.end_timestamp or call.start_timestamp,
        attributes={name: value for name, value in attributes.items() if value},
        events=((entry.at, entry.event) for entry in call.timeline),
    )
