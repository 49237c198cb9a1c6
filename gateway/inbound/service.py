"""Answers Jambonz's hooks about inbound calls with verbs, and records what the hooks report."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from gateway.calls.call import Call, CallStatus, Event, EventKind
from gateway.calls.outcomes import SipOutcome
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.timeline import talking_since
from gateway.config.settings import Config
from gateway.errors import RecordUnreadable, StorageUnavailable
from gateway.inbound.deduplication import CallsByHook
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
from gateway.jambonz.leg_token import is_own_leg
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.storage.registry import CallRegistry
from gateway.telemetry import tracing
from gateway.transfers.announced import completed_event
from gateway.transfers.fallback import NO_AGENT, Fallback, refuse
from gateway.transfers.service import Transfers

log = structlog.get_logger()

#: Ids of inbound calls begin with this. LiveKit's leg to an enqueued caller dials the id.
CALL_PREFIX = "call-"
#: How long LiveKit's leg waits for the enqueued caller to be in the queue, in s.
DEQUEUE_TIMEOUT = 20
#: Responses to legs that are not bridged with an enqueued caller.
CALLER_GONE = SipOutcome(480, "Caller Gone")
FORBIDDEN = SipOutcome(403, "Forbidden")
_AGENT_ERROR = DisconnectionReason.AGENT_ERROR


class InboundCalls:
    """One method for each hook. The `strategy` decides how callers and agents are connected."""

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
        self._clock = clock
        self._calls = CallsByHook(
            config,
            registry=registry,
            lifecycle=lifecycle,
            strategy=strategy,
            new_call_id=new_call_id,
            clock=clock,
        )

    async def on_call(self, hook: CallHook) -> Verbs:
        """Answer the call hook: of a caller, or of LiveKit's leg that dials an enqueued caller."""
        try:
            enqueued = await self._enqueued_call(hook)
            if enqueued:
                return self._dequeue(enqueued, hook)
            call = await self._calls.get_or_create(hook)
            tracing.join(call.call_id, call.traceparent)
        except (StorageUnavailable, RecordUnreadable) as error:
            log.error("call.not_registered", call_sid=hook.call_sid, error=str(error))
            return await self._fallback.route_to_fallback(
                None, 0, None, answered=hook.caller_answered
            )
        if call.is_active:
            return self._strategy.connect(call)
        return await self._fallback.route_to_fallback(
            call, 0, call.sip, answered=hook.caller_answered
        )

    async def on_dial_action(self, hook: DialHook, *, fallback: int, call_id: str = "") -> Verbs:
        """Answer a dial's action hook; if the dial failed, with the fallback target `fallback`.

        So it is if the agent failed in an answered call: `fallback` is 0 for its dial only.
        """
        at = self._clock()
        call = await self._lifecycle.apply_to(
            hook.call_sid,
            partial(self._call_of_dial, call_id),
            lambda call: self._dial_event(call, hook, at),
        )
        if hook.caller_gone or (call and call.is_transferring):
            return []
        is_agents = fallback == 0
        if hook.answered and not (is_agents and _agent_failed(call)):
            return []
        outcome = NO_AGENT if is_agents and _agent_lost(call) else hook.dial_sip
        answered = hook.caller_answered or hook.answered
        return await self._fallback.route_to_fallback(call, fallback, outcome, answered=answered)

    async def on_queue_wait(self, call_id: str) -> Verbs:
        """Answer an enqueued caller's wait hook: music or, once no agent will come, `leave`."""
        try:
            call = await self._registry.get(call_id)
            waits = call and call.is_active and not call.is_transferring
        except StorageUnavailable:
            waits = True  # Jambonz repeats this hook soon
        return verbs.play(self._config.inbound.wait_music) if waits else verbs.leave()

    async def on_queue_action(self, hook: QueueHook, call_id: str) -> Verbs:
        """Answer an enqueued caller's action hook: they left the queue, or talked and hung up."""
        at = self._clock()
        call = await self._lifecycle.apply_to(
            call_id, self._registry.get, lambda call: self._queue_event(call, hook, at)
        )
        if call and call.is_transferring and not hook.caller_gone:
            return self._transfers.dial(call)
        if hook.caller_gone:
            return []
        if hook.result == "bridged" and not _agent_failed(call):
            return verbs.hangup()
        return await self._fallback.route_to_fallback(call, 0, None, answered=True)

    async def on_status(self, hook: StatusHook) -> None:
        """Record a call status hook."""
        at = self._clock()
        await self._lifecycle.apply_to(
            hook.a_leg_sid,
            partial(self._call_of_status, hook),
            lambda call: self._status_event(call, hook, at),
        )

    async def _enqueued_call(self, hook: CallHook) -> Call | None:
        """The call whose enqueued caller is dialed, if the hook is about LiveKit's leg."""
        if not hook.to_number.startswith(CALL_PREFIX):
            return None
        call = await self._registry.get(hook.to_number)
        if call and call.is_enqueued and call.jambonz["call_sid"] != hook.call_sid:
            return call
        return None

    async def _call_of_dial(self, call_id: str, call_sid: str) -> Call | None:
        # Without storage the gateway does not know the call, and its hook's URL names none.
        if call_id:
            return await self._registry.get(call_id)
        return await self._registry.find_by_call_sid(call_sid)

    async def _call_of_status(self, hook: StatusHook, call_sid: str) -> Call | None:
        call = await self._registry.find_by_call_sid(call_sid)
        if call is None and hook.to_number.startswith(CALL_PREFIX):
            call = await self._registry.get(hook.to_number)
        if call is None:
            log.info("call.not_found", call_sid=call_sid, call_status=hook.call_status)
        return call

    def _queue_event(self, call: Call, hook: QueueHook, at: int) -> Event:
        event = queue_event(hook, at)
        if hook.caller_gone:
            return event
        if call.is_transferring:
            # The caller leaves the queue for the transfer's target.
            return Event(EventKind.LEG_STATUS, at, detail=event.detail)
        failed = _failure(call) if hook.result == "bridged" else None
        return replace(failed, at=at) if failed else event

    def _dial_event(self, call: Call, hook: DialHook, at: int) -> Event:
        event = dial_event(hook, at, has_rung=call.has_rung)
        if call.is_transferring and not hook.caller_gone:
            # The dial ends because of the transfer, whose outcome another hook reports.
            return Event(EventKind.LEG_STATUS, event.at, detail=event.detail)
        if not hook.answered:
            return event
        if not hook.caller_gone and (failed := _failure(call)):
            return replace(failed, at=at)
        # Without status hooks it was not reported when the call was answered.
        return replace(event, answered_at=talking_since(call) or at)

    def _status_event(self, call: Call, hook: StatusHook, at: int) -> Event:
        if hook.a_leg_sid != call.jambonz.get("call_sid"):
            # LiveKit's own leg to an enqueued caller: LiveKit reports more about it.
            return Event(EventKind.LEG_STATUS, at, detail=f"B leg {hook.call_status}")
        event = status_event(hook, at, has_rung=call.has_rung)
        if event.kind is EventKind.ANSWERED and self._transfers.is_answer(call, hook):
            return completed_event(event.at)
        if not (call.caller_answered or call.is_enqueued):
            return event
        if event.kind is EventKind.ANSWERED and (call.is_enqueued or not hook.is_b_leg):
            # Jambonz has answered the caller before, as in order to enqueue them.
            return Event(EventKind.LEG_STATUS, event.at, detail=event.detail)
        return replace(event, answered_at=None)

    def _dequeue(self, enqueued: Call, hook: CallHook) -> Verbs:
        """Bridge LiveKit's leg, and no other, with the caller who is enqueued for it."""
        secrets = (pair.secret for pair in self._config.livekit.accepted_keys)
        if not is_own_leg(hook.headers, enqueued.call_id, secrets):
            log.warning("call.foreign_leg", call_id=enqueued.call_id, call_sid=hook.call_sid)
            return refuse(FORBIDDEN, answered=hook.caller_answered)
        if enqueued.is_active:
            return verbs.dequeue(enqueued.call_id, timeout=DEQUEUE_TIMEOUT)
        return refuse(CALLER_GONE, answered=hook.caller_answered)


#: A call that ends for these reasons loses its room while Jambonz still dials into it.
_AGENT_LOST = frozenset({DisconnectionReason.NO_AGENT, DisconnectionReason.AGENT_ERROR})


def _agent_lost(call: Call | None) -> bool:
    """Whether LiveKit answers 486 only because the room was deleted, and no callee is busy."""
    return call is not None and call.disconnection_reason in _AGENT_LOST


def _agent_failed(call: Call | None) -> bool:
    """Whether the caller, who may still be there, has lost their agent through no choice of it."""
    return call is not None and (call.call_status is CallStatus.ERROR or bool(_failure(call)))


def _failure(call: Call) -> Event | None:
    """The failure of an agent who has left an active call, with the time at which they left."""
    absence = call.agent_absence
    if not call.is_active or absence is None or absence.reason is not _AGENT_ERROR:
        return None
    return Event(EventKind.AGENT_FAILED, absence.at, reason=absence.reason, detail=absence.detail)
