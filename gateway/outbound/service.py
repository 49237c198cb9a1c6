"""Makes an outbound call: has the agent in the room, then dials the SIP leg."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from common.urls import UrlRejected
from gateway.calls.call import (
    Call,
    CallStatus,
    Direction,
    Event,
    EventKind,
    TimelineEntry,
)
from gateway.calls.callers import plain_user
from gateway.calls.participants import Leg
from gateway.calls.reasons import DisconnectionReason
from gateway.config.settings import DURATION_MARGIN, Config
from gateway.errors import (
    ApiError,
    DialFailed,
    ErrorCode,
    GatewayError,
    LimitReached,
    LiveKitError,
    LiveKitRefused,
    in_plain_words,
)
from gateway.lifecycle.agent_wait import AgentWait
from gateway.lifecycle.dialing import Dialer
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import job_metadata, room_metadata
from gateway.livekit.rooms import RoomRequest
from gateway.livekit.sip import SipParticipantRequest
from gateway.livekit.trunks import NO_TRUNK, OutboundTrunk
from gateway.outbound.checks import check_metadata_size, check_targets
from gateway.outbound.request import OutboundCallRequest
from gateway.storage.registry import ActiveLimits
from gateway.telemetry import tracing

#: The Retry-After of a request that nobody was called for, in s.
RETRY_AFTER = 5


class OutboundCalls:
    """Makes outbound calls.

    Raises DialFailed if the callee was dialed. After ApiError, LiveKitRefused and
    StorageUnavailable nobody's telephone has rung.
    """

    def __init__(
        self,
        config: Config,
        *,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        agent_wait: AgentWait,
        dialer: Dialer,
        trunk: OutboundTrunk,
        check_callback_url: Callable[[str], Awaitable[None]],
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._agent_wait = agent_wait
        self._dialer = dialer
        self._trunk = trunk
        self._check_callback_url = check_callback_url
        self._clock = clock

    async def dispatch(self, request: OutboundCallRequest, call_id: str) -> Call:
        """Make the call and return it as it is once `request.wait` is over.

        If an earlier attempt has registered the call of `call_id`, that call is finished.
        """
        try:
            trunk_id = await self._check(request)
        except LiveKitError as error:
            raise _before_dial(error) from error
        new = self._new_call(request, call_id)
        metadata = self._metadata(new, request)
        call = await self._register(new)
        try:
            if call.is_active and not call.is_dialed:
                await self._create_room(call, *metadata)
                call = await self._wait_for_agent(call)
            return await self._connect(call, request, trunk_id)
        except GatewayError as error:
            error.call_id = call.call_id
            raise

    async def _check(self, request: OutboundCallRequest) -> str:
        """Validate `request`; returns the trunk to dial through, "" if none is needed."""
        caller = self._from_number(request)
        check_targets(request.destination, request.metadata, self._config, from_number=caller)
        if request.callback_url:
            try:
                await self._check_callback_url(request.callback_url)
            except UrlRejected as error:
                details = {"callback_url": [str(error)]}
                raise ApiError(ErrorCode.INVALID, "cannot use: callback_url", details) from error
        if self._agent_dials or request.destination.hostname:
            return ""
        trunk_id = await self._trunk.for_dispatch()
        if not trunk_id:
            raise ApiError(ErrorCode.NO_TRUNK, NO_TRUNK)
        return trunk_id

    async def _register(self, new: Call) -> Call:
        """Store the call, unless it is stored already. Raises ApiError at the limit."""
        limits = ActiveLimits(
            total=self._config.limits.max_active_calls,
            direction=self._config.outbound.max_active_calls,
        )
        try:
            added = await self._lifecycle.register(new, limits)
        except LimitReached as error:
            code = ErrorCode.TOO_MANY_CALLS
            raise ApiError(code, str(error), retry_after=RETRY_AFTER) from error
        return added.call

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
            traceparent=tracing.traceparent(),
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

    async def _connect(self, call: Call, request: OutboundCallRequest, trunk_id: str) -> Call:
        """Dial, unless the call has ended; returns it as it is once `request.wait` is over."""
        if call.is_active:
            leg = None if self._agent_dials else self._dial_request(call, request, trunk_id)
            max_wait = call.ringing_timeout + self._config.outbound.agent_timeout
            task = await self._dialer.start(call, leg, max_wait=max_wait)
            await self._raise_early_failure(task, call, request)
            call = await self._lifecycle.refreshed(call)
        if call.is_withdrawn:
            message = f"the call ended before it was dialed: {call.disconnection_reason}"
            raise _no_agent(call, message)
        return call

    async def _create_room(self, call: Call, metadata: str, room_metadata: str) -> None:
        """Create the room and dispatch the agent; a failure ends the call, and is raised.

        Not if the call had ended before: LiveKit does not answer for a room that is deleted.
        """
        room = RoomRequest(
            call.call_id,
            room_metadata,
            empty_timeout=call.ringing_timeout + round(self._config.outbound.agent_timeout) + 30,
            agent_name=call.agent_name,
            job_metadata=metadata,
        )
        try:
            room_sid = await self._livekit.create_room(room)
            dispatch = await self._livekit.find_dispatch(call.call_id, call.agent_name)
        except LiveKitError as error:
            ended = await self._apply(call, EventKind.LIVEKIT_FAILED, detail=str(error))
            if ended and ended.disconnection_reason is not DisconnectionReason.DIAL_FAILED:
                return
            raise _before_dial(error) from error
        ids = {"room_sid": room_sid, **({"dispatch_id": dispatch.id} if dispatch else {})}
        await self._apply(call, EventKind.ROOM_CREATED, ids=ids)

    async def _wait_for_agent(self, call: Call) -> Call:
        """The call once its agent can be heard, or has ended; without an agent it is ended."""
        timeout = self._config.outbound.agent_timeout
        call = await self._agent_wait.until(call, self._is_ready, limit=timeout)
        if self._is_ready(call) or not call.is_active:
            return call
        message = (
            f"no agent could be heard within {timeout:g} s: is a worker running whose agent is "
            f"named {call.agent_name!r}, and is it not busy?"
        )
        await self._apply(call, EventKind.NO_AGENT, detail=message)
        raise _no_agent(call, message)

    def _is_ready(self, call: Call) -> bool:
        """An agent that dials may do so before it publishes its audio."""
        is_ringing = call.call_status is not CallStatus.REGISTERED
        return call.agent_audible or (self._agent_dials and is_ringing)

    @property
    def _agent_dials(self) -> bool:
        return self._config.outbound.dialed_by == "agent"

    async def _raise_early_failure(
        self, task: asyncio.Task[LiveKitError | None], call: Call, request: OutboundCallRequest
    ) -> None:
        """Wait as `request.wait` says, and raise the error of a dial that has failed meanwhile."""
        timeouts = {"none": 0.0, "early": self._config.outbound.early_failure_window}
        await asyncio.wait({task}, timeout=timeouts.get(request.wait))
        if not task.done() or task.cancelled() or task.exception():
            return  # it may ring: that an error was logged does not make it safe to dial again
        match task.result():
            case LiveKitRefused() as error:
                raise DialFailed(error, call.call_id)
            case LiveKitError() as error:
                raise DialFailed(ApiError(ErrorCode.NOT_ANSWERED, str(error)), call.call_id)

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
    ) -> Call | None:
        event = Event(kind, self._clock(), ids=ids, detail=detail)
        return await self._lifecycle.apply(call.call_id, event)


def _before_dial(error: LiveKitError) -> LiveKitError | ApiError:
    """The error of a call that nobody was called for: what may pass is worth a repetition."""
    if error.may_pass:
        message = in_plain_words(str(error))
        return ApiError(ErrorCode.LIVEKIT_UNREACHABLE, message, retry_after=RETRY_AFTER)
    return error


def _no_agent(call: Call, message: str) -> ApiError:
    details = {"agent_name": call.agent_name}
    return ApiError(ErrorCode.NO_AGENT, message, details, retry_after=RETRY_AFTER)
