"""Somebody asks for a call: room, agent, then the SIP leg; what came of it is the call's state."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.calls.call import Call, Direction, Event, EventKind, TimelineEntry
from gateway.calls.destinations import Destination
from gateway.config.settings import DURATION_MARGIN, Config
from gateway.errors import ApiError, ErrorCode, LiveKitError, LiveKitUnreachable
from gateway.lifecycle.dialing import Dialer
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import job_metadata, room_metadata
from gateway.livekit.rooms import RoomRequest
from gateway.livekit.sip import DialOrder
from gateway.livekit.trunks import OutboundTrunk
from gateway.security.callback_urls import CallbackUrlRejected, check_callback_url
from gateway.storage.registry import CallRegistry

#: Between two looks whether a worker has taken the job, in s.
LOOK_EVERY = 0.05
#: What a visitor at the cap is asked to wait, in s.
RETRY_AFTER = 5
NO_TRUNK = (
    "there is no outbound trunk: `python -m gateway setup` makes one, or set SIP_OUTBOUND_TRUNK_ID"
)


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A call that somebody wants made. `metadata` is what the agent is told, flat; times in s."""

    destination: Destination
    metadata: Mapping[str, object]
    account_code: str
    agent_name: str = ""
    caller_id: str = ""
    caller_number: str = ""
    caller_name: str = ""
    session_options: Mapping[str, object] = field(default_factory=dict)
    max_call_duration: int | None = None
    ringing_timeout: int | None = None
    record_call: bool = False
    wait: str = "early"
    callback_url: str = ""
    callback_events: tuple[str, ...] = ()


class OutboundCalls:
    """Makes calls. Raises ApiError, LiveKitRefused, LiveKitUnreachable; then nothing stays open."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        dialer: Dialer,
        trunk: OutboundTrunk,
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._dialer = dialer
        self._trunk = trunk
        self._clock = clock

    async def dispatch(self, order: CallOrder, call_id: str) -> Call:
        """Make the call; it rings, or is further on, when this returns. See `CallOrder.wait`."""
        trunk_id = await self._check(order)
        added = await self._lifecycle.register(self._new_call(order, call_id))
        call = added.call
        if not added.is_new:
            return call
        await self._bring_agent(call, order)
        dialing = self._connect(call, order, trunk_id)
        task = self._dialer.spawn(dialing, name=f"dial {call.call_id}")
        await self._early_failure(task, order)
        return await self._lifecycle.refreshed(call)

    async def _check(self, order: CallOrder) -> str:
        """The trunk that it will go through, "" where it needs none. Raises ApiError."""
        settings = self._config.outbound
        if order.callback_url:
            try:
                check_callback_url(order.callback_url, self._config.callbacks.allowed_hosts)
            except CallbackUrlRejected as refusal:
                details = {"callback_url": [str(refusal)]}
                raise ApiError(ErrorCode.INVALID, "cannot use: callback_url", details) from refusal
        await self._check_capacity()
        if settings.dialed_by == "agent" or order.destination.hostname:
            return ""
        trunk_id = await self._trunk.for_dispatch()
        if not trunk_id:
            raise ApiError(ErrorCode.NO_TRUNK, NO_TRUNK)
        return trunk_id

    async def _check_capacity(self) -> None:
        """Raises ApiError 429 where there are as many calls as may be."""
        caps = {
            "outbound calls": (Direction.OUTBOUND, self._config.outbound.max_active_calls),
            "calls": (None, self._config.limits.max_active_calls),
        }
        for what, (direction, most) in caps.items():
            if await self._registry.count_active(direction) >= most:
                message = f"{most} {what} are active, that is the limit"
                raise ApiError(ErrorCode.TOO_MANY_CALLS, message, retry_after=RETRY_AFTER)

    def _new_call(self, order: CallOrder, call_id: str) -> Call:
        now = self._clock()
        settings = self._config.outbound
        return Call(
            call_id=call_id,
            direction=Direction.OUTBOUND,
            agent_name=order.agent_name or self._config.agent.name,
            start_timestamp=now,
            from_number=order.caller_number or order.caller_id,
            to_number=order.destination.text,
            caller_name=order.caller_name,
            account_code=order.account_code,
            ringing_timeout=order.ringing_timeout or settings.ringing_timeout,
            max_call_duration=order.max_call_duration or settings.max_call_duration,
            metadata=order.metadata,
            callback_url=order.callback_url,
            callback_events=order.callback_events,
            timeline=(TimelineEntry(now, EventKind.REGISTERED),),
        )

    async def _bring_agent(self, call: Call, order: CallOrder) -> None:
        """Room and agent; whatever fails ends the call, and with it goes its room."""
        extras = {"session_options": order.session_options, "record_call": order.record_call}
        metadata = job_metadata(call, own_url=self._config.own_url, extras=extras)
        kept = room_metadata(call, own_url=self._config.own_url)
        room = RoomRequest(call.call_id, kept, empty_timeout=call.ringing_timeout + 30)
        try:
            room_sid = await self._livekit.create_room(room)
            dispatch_id = await self._livekit.dispatch_agent(
                call.call_id, call.agent_name, metadata
            )
            job_id = await self._job(call, dispatch_id)
        except LiveKitError as error:
            await self._apply(call, EventKind.LIVEKIT_FAILED, detail=str(error))
            raise
        if job_id is None:
            waited = f"no worker took the job within {self._config.outbound.agent_timeout:g} s"
            message = f"{waited}: is one running that answers to {call.agent_name!r}?"
            await self._apply(call, EventKind.NO_AGENT, detail=message)
            raise ApiError(ErrorCode.NO_AGENT, message, {"agent_name": call.agent_name})
        ids = {"room_sid": room_sid, "dispatch_id": dispatch_id, "job_id": job_id}
        await self._apply(call, EventKind.DISPATCHED, ids=ids)

    async def _job(self, call: Call, dispatch_id: str) -> str | None:
        """The job a worker took; None if none did in time."""
        deadline = self._clock() + self._config.outbound.agent_timeout * 1000
        while self._clock() < deadline:
            job_id = await self._livekit.find_job(call.call_id, dispatch_id)
            if job_id:
                return job_id
            await asyncio.sleep(LOOK_EVERY)
        return None

    async def _early_failure(
        self, task: "asyncio.Task[LiveKitError | None]", order: CallOrder
    ) -> None:
        """Wait as long as the order asks for; raise what the dial failed with meanwhile."""
        windows = {"none": 0.0, "early": self._config.outbound.early_failure_window}
        await asyncio.wait({task}, timeout=windows.get(order.wait))
        if task.done() and (error := task.result()):
            raise _final(error)

    async def _connect(self, call: Call, order: CallOrder, trunk_id: str) -> LiveKitError | None:
        """Have the far end rung until the call is answered or not; what went wrong, if anything."""
        await self._apply(call, EventKind.DIALING, detail=call.to_number)
        if self._config.outbound.dialed_by == "agent":
            patience = call.ringing_timeout + self._config.outbound.agent_timeout
            return await self._dialer.follow(call, patience=patience)
        return await self._dialer.dial(call, self._dial_order(call, order, trunk_id))

    def _dial_order(self, call: Call, order: CallOrder, trunk_id: str) -> DialOrder:
        headers = {"X-Account-Code": call.account_code} if call.account_code else {}
        return DialOrder(
            room=call.call_id,
            to=order.destination.user,
            identity=order.caller_id or f"sip_{order.destination.user}",
            trunk_id=trunk_id,
            hostname=order.destination.hostname,
            from_number=call.from_number,
            display_name=order.caller_name,
            headers=headers,
            ringing_timeout=call.ringing_timeout,
            max_call_duration=call.max_call_duration + DURATION_MARGIN,
        )

    async def _apply(
        self,
        call: Call,
        kind: EventKind,
        *,
        detail: str = "",
        ids: Mapping[str, str] | None = None,
    ) -> None:
        event = Event(kind, self._clock(), ids=ids, detail=detail)
        await self._lifecycle.apply(call.call_id, event)


def _final(error: LiveKitError) -> LiveKitError | ApiError:
    """What a dial came to, for whoever asked. None is repeated, whatever became of it: an error
    that invites to try again would have the telephone ring twice."""
    if isinstance(error, LiveKitUnreachable):
        return ApiError(ErrorCode.NOT_ANSWERED, str(error))
    return error
