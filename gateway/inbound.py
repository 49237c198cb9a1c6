"""A Jambonz call arrives, fails or ends: what is registered for it and which verbs answer it."""

import asyncio
from collections.abc import Callable

import structlog

from gateway.calls import (
    Call,
    Direction,
    Event,
    EventKind,
    SipOutcome,
    TimelineEntry,
)
from gateway.errors import LiveKitError
from gateway.jambonz import verbs
from gateway.jambonz.hooks import CallHook, DialHook, StatusHook, dial_event, status_event
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit, RoomOrder
from gateway.metadata import job_metadata, without_blanks
from gateway.registry import CallRegistry
from gateway.settings import Config

log = structlog.get_logger()

#: Asks Jambonz to repeat a hook on connection errors and 5xx; understood on absolute URLs only.
RETRY_HOOK = "#rc=3&rp=ct,5xx"

#: What a caller is refused with when no fallback is left (RFC 3261 §21).
UNAVAILABLE = SipOutcome(503, "Service Unavailable")
BUSY = SipOutcome(486, "Busy Here")


class InboundCalls:
    """The `room` strategy: make the LiveKit room with its agent, then dial the caller into it."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        new_call_id: Callable[[], str],
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._new_call_id = new_call_id
        self._clock = clock
        self._underway: dict[str, asyncio.Future[Call]] = {}

    async def arrived(self, hook: CallHook) -> Verbs:
        """Answer the call hook. A repeated one, even of a call under way, gets the same call."""
        call = await self._registered(hook)
        if call.is_active:
            return [self._dial_room(call)]
        return await self._next_target(call, 0, call.sip or UNAVAILABLE)

    async def dial_ended(self, hook: DialHook, *, fallback: int) -> Verbs:
        """Answer a dial's action hook; `fallback` is the next target to try, if it failed."""
        call = await self._registry.find_by_call_sid(hook.call_sid)
        if call:
            await self._lifecycle.apply(call.call_id, dial_event(hook, self._clock()))
        if hook.answered or hook.caller_gone:
            return []
        return await self._next_target(call, fallback, hook.dial_sip or UNAVAILABLE)

    async def status_changed(self, hook: StatusHook) -> None:
        call = await self._registry.find_by_call_sid(hook.registered_sid)
        if call is None:
            log.info("call.unknown", call_sid=hook.registered_sid, call_status=hook.call_status)
            return
        await self._lifecycle.apply(call.call_id, status_event(hook, self._clock()))

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
        known = await self._registry.find_by_call_sid(hook.call_sid)
        if known:
            return known
        full = (
            await self._registry.count_active(Direction.INBOUND)
            >= self._config.inbound.max_active_calls
        )
        call = await self._lifecycle.register(self._new_call(hook))
        if full:
            event = Event(EventKind.REJECTED, self._clock(), sip=BUSY, detail="too many calls")
        else:
            event = await self._prepare(call)
        return await self._lifecycle.apply(call.call_id, event) or call

    async def _prepare(self, call: Call) -> Event:
        """Have LiveKit make the room and send the agent; what came of it, as an event."""
        order = RoomOrder(
            name=call.call_id,
            agent_name=call.agent_name,
            metadata=job_metadata(call, own_url=self._config.own_url),
            empty_timeout=round(self._config.inbound.registered_timeout),
        )
        try:
            room_sid = await self._livekit.create_room(order)
        except LiveKitError as error:
            log.error("call.livekit_failed", call_id=call.call_id, error=str(error))
            at = self._clock()
            return Event(EventKind.LIVEKIT_FAILED, at, sip=UNAVAILABLE, detail=str(error))
        return Event(EventKind.ROOM_CREATED, self._clock(), ids={"room_sid": room_sid})

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
            ringing_timeout=self._config.inbound.ring_timeout,
            max_call_duration=self._config.inbound.max_call_duration,
            metadata=without_blanks(facts),
            jambonz={"call_sid": hook.call_sid, **hook.ids},
            timeline=(TimelineEntry(now, EventKind.REGISTERED),),
        )

    def _dial_room(self, call: Call) -> verbs.Verb:
        livekit = self._config.livekit
        headers = {"X-Call-Id": call.call_id}
        if call.account_code:
            headers["X-Account-Code"] = call.account_code
        return verbs.dial_room(
            f"sip:{call.call_id}@{livekit.sip_address};transport={livekit.sip_transport}",
            action_hook=self._action_hook(fallback=0),
            headers=headers,
            limits=self._config.inbound.limits,
        )

    async def _next_target(self, call: Call | None, index: int, outcome: SipOutcome) -> Verbs:
        """Hand the caller on to fallback `index`; when there is none, refuse with `outcome`."""
        targets = self._config.inbound.fallback
        target = targets[index] if index < len(targets) else None
        if call:
            detail = str(target) if target else f"none left, SIP {outcome.status}"
            event = Event(EventKind.FALLBACK, self._clock(), detail=detail)
            await self._lifecycle.apply(call.call_id, event)
        if target is None:
            return verbs.decline(outcome.status, outcome.reason or "Call Failed")
        return verbs.fallback(
            target,
            action_hook=self._action_hook(fallback=index + 1),
            limits=self._config.inbound.limits,
        )

    def _action_hook(self, *, fallback: int) -> str:
        """Where a dial reports its end: relative, or repeatable if our public URL is known."""
        path = f"/livekit-api/dial-action?fallback={fallback}"
        public_url = self._config.server.public_url.rstrip("/")
        return f"{public_url}{path}{RETRY_HOOK}" if public_url else path
