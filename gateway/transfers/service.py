"""A call is handed on: asked for by the agent's REFER or from outside, allowed, followed."""

from collections.abc import Callable
from fnmatch import fnmatchcase

from gateway.calls.call import (
    Call,
    Direction,
    DisconnectionReason,
    Event,
    EventKind,
    SipOutcome,
    Transfer,
)
from gateway.calls.destinations import Destination, DialLimits, FallbackTarget, parse_destination
from gateway.calls.transitions import transition
from gateway.config.settings import DURATION_MARGIN, Config
from gateway.errors import ApiError, ErrorCode, LiveKitError, LiveKitRefused
from gateway.jambonz import verbs
from gateway.jambonz.hooks import DialHook, ReferHook, StatusHook
from gateway.jambonz.urls import hook_url
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.sip import SipLegs
from gateway.storage.registry import CallRegistry
from gateway.transfers.fallback import UNAVAILABLE, Fallback

OK = SipOutcome(200, "OK")


class Transfers:
    """Raises ApiError, LiveKitRefused, LiveKitUnreachable."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        sip: SipLegs,
        fallback: Fallback,
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._sip = sip
        self._fallback = fallback
        self._clock = clock

    async def request(self, call: Call, target: str, *, by: str) -> Call:
        """Somebody outside wants the call handed on, to its own `transfer_target` by default."""
        target = target or str(call.metadata.get("transfer_target", ""))
        if not target:
            details = {"target": ["Missing, and the call has no transfer_target."]}
            raise ApiError(ErrorCode.INVALID, "cannot use: target", details)
        destination = self._allowed(call, target)
        _check_state(call)
        if call.direction is Direction.INBOUND and not call.is_enqueued:
            # The REFER comes back to us as Jambonz's refer hook, where the transfer starts.
            await self._refer(call, destination)
        else:
            started = await self._start(call, destination, detail=f"asked for by {by}")
            _check_started(started)
            await self._carry_out(call, destination)
        return await self._lifecycle.refreshed(call)

    async def on_refer(self, hook: ReferHook) -> Verbs:
        """Answer the refer hook of a call's dial: LiveKit's leg wants the caller handed on."""
        call = await self._registry.find_by_call_sid(hook.registered_sid)
        if call is None or not call.is_active:
            raise _gone()
        try:
            destination = self._allowed(call, hook.target)
        except ApiError as error:
            if error.status != 422:
                raise
            # Jambonz answers the REFER with our number, and 422 means something else in SIP.
            raise ApiError(ErrorCode.BAD_REFER_TO, error.message, error.details) from error
        pending = call.transfer if call.is_transferring else None
        if pending and (pending.refer_sid, pending.target) != (
            hook.call_sid,
            destination.number_or_uri,
        ):
            raise _pending()
        if not pending:  # else Jambonz repeats a hook whose answer was lost
            call = await self._start(call, destination, sid=hook.call_sid, detail="REFER")
        if not call.is_transferring:
            raise _gone()  # it ended while we looked
        return self.dial(call)

    def dial(self, call: Call) -> Verbs:
        """The verbs that connect an answered caller with the one their call is handed on to."""
        transfer, settings = call.transfer, self._config.transfer
        assert transfer  # noqa: S101 - dialed only for calls that are being handed on
        destination = parse_destination(transfer.target)
        target = (
            FallbackTarget(sip=destination.text)
            if destination.hostname
            else FallbackTarget(phone=destination.user, trunk=settings.trunk)
        )
        longest = self._config.inbound.max_call_duration + DURATION_MARGIN
        return verbs.transfer_to(
            target,
            action_hook=hook_url(
                self._config.server.public_url,
                "/livekit-api/transfer-action",
                call_id=call.call_id,
            ),
            limits=DialLimits(settings.ringing_timeout, longest),
        )

    async def on_transfer_action(self, hook: DialHook, call_id: str) -> Verbs:
        """Answer that dial's action hook. A caller who was not put through gets the fallback."""
        outcome = self._outcome(hook)
        call = await self._lifecycle.apply_to(call_id, self._registry.get, lambda _: outcome)
        if hook.answered or hook.caller_gone:
            return []
        return await self._fallback.route_to_fallback(
            call, 0, hook.dial_sip or UNAVAILABLE, answered=True
        )

    def is_target_leg(self, call: Call, hook: StatusHook) -> bool:
        """Whether this is the leg towards the target of a transfer, and not the one it began on."""
        transfer = call.transfer
        if transfer is None or not call.is_transferring:
            return False
        return hook.is_far_leg and hook.call_sid != transfer.refer_sid

    def completed_event(self, at: int) -> Event:
        """The target has answered: that ends the agent's part."""
        reason = DisconnectionReason.CALL_TRANSFER
        return Event(EventKind.TRANSFER_ENDED, at, reason=reason, sip=OK, detail="answered")

    def _outcome(self, hook: DialHook) -> Event:
        if hook.answered:
            return self.completed_event(self._clock())
        detail = f"dial {hook.dial_call_status or 'ended without a status'}"
        # Whatever came of it, the agent's leg ended when the REFER was accepted.
        gone = DisconnectionReason.USER_HANGUP
        return Event(
            EventKind.TRANSFER_ENDED,
            self._clock(),
            reason=gone if hook.caller_gone else DisconnectionReason.CALL_TRANSFER,
            sip=hook.dial_sip,
            detail=detail,
        )

    def _allowed(self, call: Call, target: str) -> Destination:
        """`target` as somewhere to call. Raises ApiError where calls may not be handed on to."""
        try:
            destination = parse_destination(target)
        except ValueError as error:
            details = {"target": [f"It {error}."]}
            raise ApiError(ErrorCode.INVALID, "cannot use: target", details) from error
        own = target == call.metadata.get("transfer_target")
        if own or any(
            fnmatchcase(destination.number_or_uri, p) for p in self._config.transfer.allowed
        ):
            return destination
        raise ApiError(
            ErrorCode.TRANSFER_NOT_ALLOWED,
            f"transfer.allowed has no pattern that {destination.number_or_uri} fits",
        )

    async def _start(
        self, call: Call, destination: Destination, *, detail: str, sid: str = ""
    ) -> Call:
        now = self._clock()
        event = Event(
            EventKind.TRANSFER_STARTED,
            now,
            transfer=Transfer(destination.number_or_uri, now, refer_sid=sid),
            detail=f"to {destination.number_or_uri}, {detail}",
        )
        # While the registry is away it is as it will be.
        return await self._lifecycle.apply(call.call_id, event) or transition(call, event)

    async def _refer(self, call: Call, destination: Destination) -> None:
        named = destination.text if destination.hostname else f"tel:{destination.user}"
        await self._sip.transfer(
            call.call_id, named, ringing_timeout=self._config.transfer.ringing_timeout
        )

    async def _carry_out(self, call: Call, destination: Destination) -> None:
        """Where the far end of a trunk does it, what that says is all there is to know.

        A parked caller is ours to dial for, as soon as LiveKit's leg is gone.
        """
        try:
            if call.is_enqueued:
                await self._sip.remove(call.call_id)
                return
            await self._refer(call, destination)
        except LiveKitError as error:
            sip, told = None, str(error)
            if isinstance(error, LiveKitRefused):
                sip, told = error.sip, error.reason
            event = Event(EventKind.TRANSFER_ENDED, self._clock(), sip=sip, detail=told)
            await self._lifecycle.apply(call.call_id, event)
            raise
        await self._lifecycle.apply(call.call_id, self.completed_event(self._clock()))


def _check_state(call: Call) -> None:
    if not call.is_active or call.answer_timestamp is None:
        raise ApiError(ErrorCode.NOT_ONGOING, f"the call is {call.call_status}, not ongoing")
    if call.is_transferring:
        raise _pending()


def _check_started(call: Call) -> None:
    if not call.is_transferring:
        raise ApiError(ErrorCode.NOT_ONGOING, f"the call is {call.call_status}, not ongoing")


def _gone() -> ApiError:
    return ApiError(ErrorCode.NOT_FOUND, "there is no such call to be handed on, or not any more")


def _pending() -> ApiError:
    return ApiError(ErrorCode.TRANSFER_PENDING, "the call is being handed on already")
