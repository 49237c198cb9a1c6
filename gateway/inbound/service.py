"""A Jambonz call arrives, fails or ends: what is registered for it and which verbs answer it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from gateway.calls.call import (
    Call,
    CallStatus,
    Direction,
    DisconnectionReason,
    Event,
    EventKind,
    TimelineEntry,
)
from gateway.config.settings import Config
from gateway.errors import StorageUnavailable
from gateway.inbound.strategy import Strategy
from gateway.jambonz import verbs
from gateway.jambonz.hooks import (
    CallHook,
    DialHook,
    QueueHook,
    StatusHook,
    dial_event,
    queue_event,
    status_event,
)
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.storage.registry import CallRegistry
from gateway.transfers.fallback import BUSY, NO_AGENT, UNAVAILABLE, Fallback
from gateway.transfers.service import Transfers

log = structlog.get_logger()

#: How the ids of inbound calls begin; LiveKit's leg to a parked caller is called to one.
CALL_PREFIX = "call-"
#: How long LiveKit's leg may look for the caller it is to be bridged with, in s.
PICK_UP_TIMEOUT = 20


class InboundCalls:
    """Answers what Jambonz asks about inbound calls; how they reach the agent is the strategy's."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        strategy: Strategy,
        fallback: Fallback,
        transfers: Transfers,
        new_call_id: Callable[[], str],
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._strategy = strategy
        self._fallback = fallback
        self._transfers = transfers
        self._new_call_id = new_call_id
        self._clock = clock
        self._underway: dict[str, asyncio.Future[Call]] = {}

    async def on_call(self, hook: CallHook) -> Verbs:
        """Answer the call hook. A repeated one, even of a call under way, gets the same call."""
        try:
            if hook.to_number.startswith(CALL_PREFIX):
                enqueued = await self._registry.get(hook.to_number)
                if (
                    enqueued
                    and enqueued.is_enqueued
                    and enqueued.jambonz["call_sid"] != hook.call_sid
                ):
                    return _dequeue(enqueued)
            call = await self._registered(hook)
        except StorageUnavailable as error:
            log.error("call.not_registered", call_sid=hook.call_sid, error=str(error))
            return await self._fallback.route_to_fallback(None, 0, UNAVAILABLE)
        if call.is_active:
            return self._strategy.connect(call)
        return await self._fallback.route_to_fallback(call, 0, call.sip or UNAVAILABLE)

    async def on_dial_action(self, hook: DialHook, *, fallback: int) -> Verbs:
        """Answer a dial's action hook; `fallback` is the next target to try, if it failed."""
        at = self._clock()
        call = await self._lifecycle.apply_to(
            hook.call_sid,
            self._registry.find_by_call_sid,
            lambda call: self._dial_event(call, hook, at),
        )
        if call and call.is_transferring:
            return []
        if hook.answered or hook.caller_gone:
            return []
        outcome = hook.dial_sip or UNAVAILABLE
        if fallback == 0 and _lacked_agent(call):
            outcome = NO_AGENT
        return await self._fallback.route_to_fallback(
            call, fallback, outcome, answered=hook.caller_answered
        )

    async def on_queue_wait(self, call_id: str) -> Verbs:
        """Answer a parked caller's wait hook: something to hear, until the agent will not come."""
        try:
            call = await self._registry.get(call_id)
            waits = call and call.is_active and not call.is_transferring
        except StorageUnavailable:
            waits = True  # nobody knows better, and the next time is soon
        return verbs.play(self._config.inbound.wait_music) if waits else verbs.leave()

    async def on_queue_action(self, hook: QueueHook, call_id: str) -> Verbs:
        """Answer a parked caller's action hook: the talk is over, or it never came to one."""
        at = self._clock()
        call = await self._lifecycle.apply_to(
            call_id, self._registry.get, lambda call: self._queue_event(call, hook, at)
        )
        if call and call.is_transferring and not hook.caller_gone:
            return self._transfers.dial(call)
        if hook.caller_gone:
            return []
        if hook.result == "bridged":
            return verbs.hang_up()
        return await self._fallback.route_to_fallback(call, 0, UNAVAILABLE, answered=True)

    async def on_status(self, hook: StatusHook) -> None:
        at = self._clock()
        await self._lifecycle.apply_to(
            hook.registered_sid,
            partial(self._of_status, hook),
            lambda call: self._status_event(call, hook, at),
        )

    async def _of_status(self, hook: StatusHook, call_sid: str) -> Call | None:
        call = await self._registry.find_by_call_sid(call_sid)
        if call is None and hook.to_number.startswith(CALL_PREFIX):
            call = await self._registry.get(hook.to_number)
        if call is None:
            log.info("call.not_found", call_sid=call_sid, call_status=hook.call_status)
        return call

    def _queue_event(self, call: Call, hook: QueueHook, at: int) -> Event:
        event = queue_event(hook, at)
        if call.is_transferring and not hook.caller_gone:
            # They leave the queue to be handed on.
            return Event(EventKind.LEG_STATUS, at, detail=event.detail)
        return event

    def _dial_event(self, call: Call, hook: DialHook, at: int) -> Event:
        event = dial_event(hook, at)
        if call.is_transferring and not hook.caller_gone:
            # It ends because the caller is handed on; how that goes is told elsewhere.
            return Event(EventKind.LEG_STATUS, event.at, detail=event.detail)
        return event

    def _status_event(self, call: Call, hook: StatusHook, at: int) -> Event:
        if hook.registered_sid != call.jambonz.get("call_sid"):
            # LiveKit's own leg to a parked caller: what it is told itself says more.
            return Event(EventKind.LEG_STATUS, at, detail=f"B leg {hook.call_status}")
        event = status_event(hook, at)
        if event.kind is EventKind.ANSWERED and self._transfers.is_target_leg(call, hook):
            return self._transfers.completed_event(event.at)
        if event.kind is EventKind.ANSWERED and call.is_enqueued:
            # Jambonz answered the caller to let them wait; the agent is not there yet.
            return Event(EventKind.LEG_STATUS, event.at, detail=event.detail)
        return replace(event, answered_at=None) if call.is_enqueued else event

    async def _registered(self, hook: CallHook) -> Call:
        first = self._underway.get(hook.call_sid)
        if first:
            return await asyncio.shield(first)
        outcome = asyncio.get_running_loop().create_future()
        self._underway[hook.call_sid] = outcome
        try:
            call = await self._register(hook)
        except BaseException:
            outcome.cancel()
            raise
        finally:
            del self._underway[hook.call_sid]
        outcome.set_result(call)
        return call

    async def _register(self, hook: CallHook) -> Call:
        new = self._new_call(hook)
        try:
            added = await self._lifecycle.register(new)
        except StorageUnavailable:
            # Perhaps only the answer was lost: what is kept then is a call that has the fallback.
            self._lifecycle.defer(new.call_id, partial(_handed_on, at=self._clock()))
            raise
        call = added.call
        if not added.is_new and not _is_unprepared(call):
            return call
        if added.is_new and added.active > self._config.limits.max_active_calls:
            event = Event(EventKind.REJECTED, self._clock(), sip=BUSY, detail="too many calls")
        else:
            event = await self._strategy.prepare(call)
        return await self._lifecycle.apply(call.call_id, event) or call

    def _new_call(self, hook: CallHook) -> Call:
        now = self._clock()
        account_code = hook.setting("ACCOUNT_CODE")
        facts = {
            "destination": hook.to_number,
            "account_code": account_code,
            "caller_number": hook.from_number,
            "caller_name": hook.caller_name,
        }
        return Call(
            call_id=self._new_call_id(),
            direction=Direction.INBOUND,
            agent_name=hook.setting("AGENT_NAME") or self._config.agent.name,
            start_timestamp=now,
            from_number=hook.from_number,
            to_number=hook.to_number,
            caller_name=hook.caller_name,
            account_code=account_code,
            ringing_timeout=self._config.inbound.ringing_timeout,
            max_call_duration=self._config.inbound.max_call_duration,
            metadata={key: fact for key, fact in facts.items() if fact},
            jambonz={"call_sid": hook.call_sid, **hook.ids},
            timeline=(TimelineEntry(now, EventKind.REGISTERED),),
        )


def _is_unprepared(call: Call) -> bool:
    """Whether the gateway that took the call went away before LiveKit had its room."""
    return call.call_status is CallStatus.REGISTERED and "room_sid" not in call.livekit


def _handed_on(call: Call, *, at: int) -> Event:
    """Its caller was given the fallback, unless another gateway has prepared the call meanwhile."""
    detail = "the registry was away: a hook was answered with the fallback"
    kind = EventKind.LIVEKIT_FAILED if _is_unprepared(call) else EventKind.LEG_STATUS
    return Event(kind, at, sip=UNAVAILABLE, detail=detail)


#: The ends that take the room away from under a caller whom it rings for.
_WITHOUT_AGENT = frozenset({DisconnectionReason.NO_AGENT, DisconnectionReason.AGENT_ERROR})


def _lacked_agent(call: Call | None) -> bool:
    """Whether LiveKit says 486 only because its room was taken away: then nobody is busy."""
    return call is not None and call.disconnection_reason in _WITHOUT_AGENT


def _dequeue(enqueued: Call) -> Verbs:
    """It is LiveKit that calls, for a caller who waits for it, or did."""
    if enqueued.is_active:
        return verbs.dequeue(enqueued.call_id, timeout=PICK_UP_TIMEOUT)
    return verbs.decline(480, "Caller Gone")
