"""Makes an outbound call: creates the room, dispatches the agent, then dials the SIP leg."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from gateway.calls.call import Call, Direction, Event, EventKind, TimelineEntry
from gateway.calls.callers import plain_user
from gateway.calls.destinations import Destination
from gateway.calls.participants import Leg
from gateway.config.settings import DURATION_MARGIN, Config
from gateway.errors import ApiError, ErrorCode, LiveKitError, LiveKitUnreachable
from gateway.lifecycle.dialing import Dialer
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import job_metadata, room_metadata
from gateway.livekit.rooms import RoomRequest
from gateway.livekit.sip import SipParticipantRequest
from gateway.livekit.trunks import OutboundTrunk
from gateway.outbound.checks import (
    check_destination,
    check_metadata_size,
    check_transfer_target,
)
from gateway.security.callback_urls import CallbackUrlRejected
from gateway.storage.registry import CallRegistry

#: Between two checks whether a worker has accepted the job, in s.
POLL_INTERVAL = 0.05
#: The Retry-After of a request above the limit of active calls, in s.
RETRY_AFTER = 5
NO_TRUNK = (
    "there is no outbound trunk: create one with `python -m gateway setup`, or set "
    "SIP_OUTBOUND_TRUNK_ID"
)


@dataclass(frozen=True, slots=True)
class OutboundCallRequest:
    """A call to make. `metadata` is for the agent; durations and timeouts in s.

    `wait` is what `dispatch()` waits for before it returns: "none" for nothing, "early" for a dial
    that fails within outbound.early_failure_window, "answer" for the answer or the failure.
    """

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
    """Makes outbound calls. Raises ApiError and LiveKitError; then the call has ended."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        dialer: Dialer,
        trunk: OutboundTrunk,
        check_callback_url: Callable[[str], Awaitable[None]],
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._dialer = dialer
        self._trunk = trunk
        self._check_callback_url = check_callback_url
        self._clock = clock

    async def dispatch(self, request: OutboundCallRequest, call_id: str) -> Call:
        """Make the call and return it as it is once `request.wait` is over.

        For a `call_id` that is registered already, the registered call is returned.
        """
        trunk_id = await self._check(request)
        new = self._new_call(request, call_id)
        metadata = self._metadata(new, request)
        added = await self._lifecycle.register(new)
        call = added.call
        if not added.is_new:
            return call
        await self._prepare(call, *metadata)
        dialing = self._dial(call, request, trunk_id)
        task = self._dialer.spawn(dialing, name=f"dial {call.call_id}")
        await self._raise_early_failure(task, request)
        return await self._lifecycle.refreshed(call)

    async def _check(self, request: OutboundCallRequest) -> str:
        """Validate `request`; returns the trunk to dial through, "" if none is needed."""
        settings = self._config.outbound
        from_number = self._from_number(request)
        check_destination(request.destination, settings, from_number=from_number)
        check_transfer_target(request.metadata, self._config.transfer, settings)
        if request.callback_url:
            try:
                await self._check_callback_url(request.callback_url)
            except CallbackUrlRejected as error:
                details = {"callback_url": [str(error)]}
                raise ApiError(ErrorCode.INVALID, "cannot use: callback_url", details) from error
        await self._check_capacity()
        if settings.dialed_by == "agent" or request.destination.hostname:
            return ""
        trunk_id = await self._trunk.for_dispatch()
        if not trunk_id:
            raise ApiError(ErrorCode.NO_TRUNK, NO_TRUNK)
        return trunk_id

    async def _check_capacity(self) -> None:
        """Raise ApiError (TOO_MANY_CALLS) if a limit of active calls is reached."""
        limits = {
            "outbound calls": (Direction.OUTBOUND, self._config.outbound.max_active_calls),
            "calls": (None, self._config.limits.max_active_calls),
        }
        for kind, (direction, limit) in limits.items():
            if await self._registry.count_active(direction) >= limit:
                message = f"{limit} {kind} are active, which is the limit"
                raise ApiError(ErrorCode.TOO_MANY_CALLS, message, retry_after=RETRY_AFTER)

    def _new_call(self, request: OutboundCallRequest, call_id: str) -> Call:
        now = self._clock()
        settings = self._config.outbound
        identity = request.caller_id or f"sip_{request.destination.user}"
        return Call(
            call_id=call_id,
            direction=Direction.OUTBOUND,
            agent_name=request.agent_name or self._config.agent.name,
            start_timestamp=now,
            from_number=self._from_number(request),
            to_number=request.destination.text,
            caller_name=request.caller_name,
            account_code=request.account_code,
            ringing_timeout=request.ringing_timeout or settings.ringing_timeout,
            max_call_duration=request.max_call_duration or settings.max_call_duration,
            metadata=request.metadata,
            # An agent that dials chooses the identity itself.
            caller=None if settings.dialed_by == "agent" else Leg(identity),
            callback_url=request.callback_url,
            callback_events=request.callback_events,
            timeline=(TimelineEntry(now, EventKind.REGISTERED),),
        )

    def _from_number(self, request: OutboundCallRequest) -> str:
        """The user of the SIP From; "" for a number of the trunk."""
        own = request.caller_number or plain_user(request.caller_id)
        return own or self._config.outbound.default_caller

    def _metadata(self, call: Call, request: OutboundCallRequest) -> tuple[str, str]:
        """The metadata of the agent's job and of the room. Raises ApiError if LiveKit cannot."""
        own_url = self._config.own_url
        extras = {"session_options": request.session_options, "record_call": request.record_call}
        job = job_metadata(call, own_url=own_url, extras=extras)
        room = room_metadata(call, own_url=own_url)
        fields = {"metadata": request.metadata, "session_options": request.session_options}
        check_metadata_size(job, room, fields=fields)
        return job, room

    async def _prepare(self, call: Call, metadata: str, room_metadata: str) -> None:
        """Create the room and dispatch the agent; a failure ends the call, and is raised."""
        room = RoomRequest(call.call_id, room_metadata, empty_timeout=call.ringing_timeout + 30)
        try:
            room_sid = await self._livekit.create_room(room)
            dispatch_id = await self._livekit.dispatch_agent(
                call.call_id, call.agent_name, metadata
            )
            job_id = await self._accepted_job(call, dispatch_id)
        except LiveKitError as error:
            await self._apply(call, EventKind.LIVEKIT_FAILED, detail=str(error))
            raise
        if job_id is None:
            timeout = self._config.outbound.agent_timeout
            message = (
                f"no worker accepted the job within {timeout:g} s: is a worker running whose agent "
                f"is named {call.agent_name!r}?"
            )
            await self._apply(call, EventKind.NO_AGENT, detail=message)
            raise ApiError(ErrorCode.NO_AGENT, message, {"agent_name": call.agent_name})
        ids = {"room_sid": room_sid, "dispatch_id": dispatch_id, "job_id": job_id}
        await self._apply(call, EventKind.DISPATCHED, ids=ids)

    async def _accepted_job(self, call: Call, dispatch_id: str) -> str | None:
        """The id of the job once a worker has accepted it; None after outbound.agent_timeout."""
        deadline = self._clock() + self._config.outbound.agent_timeout * 1000
        while self._clock() < deadline:
            job_id = await self._livekit.find_job(call.call_id, dispatch_id)
            if job_id:
                return job_id
            await asyncio.sleep(POLL_INTERVAL)
        return None

    async def _raise_early_failure(
        self, task: "asyncio.Task[LiveKitError | None]", request: OutboundCallRequest
    ) -> None:
        """Wait as `request.wait` says, and raise the error of a dial that has failed meanwhile."""
        timeouts = {"none": 0.0, "early": self._config.outbound.early_failure_window}
        await asyncio.wait({task}, timeout=timeouts.get(request.wait))
        if task.done() and (error := task.result()):
            raise _not_retryable(error)

    async def _dial(
        self, call: Call, request: OutboundCallRequest, trunk_id: str
    ) -> LiveKitError | None:
        """Ring the callee until the call is answered or has failed; returns why it failed."""
        await self._apply(call, EventKind.DIALING, detail=call.to_number)
        if self._config.outbound.dialed_by == "agent":
            max_wait = call.ringing_timeout + self._config.outbound.agent_timeout
            return await self._dialer.follow(call, max_wait=max_wait)
        return await self._dialer.dial(call, self._dial_request(call, request, trunk_id))

    def _dial_request(
        self, call: Call, request: OutboundCallRequest, trunk_id: str
    ) -> SipParticipantRequest:
        headers = {"X-Account-Code": call.account_code} if call.account_code else {}
        return SipParticipantRequest(
            room=call.call_id,
            to=request.destination.user,
            identity=call.caller.identity if call.caller else "",
            trunk_id=trunk_id,
            hostname=request.destination.hostname,
            from_number=call.from_number,
            display_name=request.caller_name,
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


def _not_retryable(error: LiveKitError) -> LiveKitError | ApiError:
    """The error of a failed dial as one that is not retried: the telephone would ring twice."""
    if isinstance(error, LiveKitUnreachable):
        return ApiError(ErrorCode.NOT_ANSWERED, str(error))
    return error
