"""Transfers of calls: requested over HTTP or by REFER (refer.py), checked, carried out."""

import secrets
from collections.abc import Callable
from dataclasses import replace

from gateway.calls.call import Call, Event, EventKind
from gateway.calls.destinations import Destination, FallbackTarget, parse_destination
from gateway.calls.outcomes import SipOutcome, Transfer, TransferRequest
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.transitions import transition
from gateway.config.settings import Config
from gateway.errors import (
    ApiError,
    ErrorCode,
    LiveKitError,
    LiveKitRefused,
    StorageUnavailable,
)
from gateway.jambonz import verbs
from gateway.jambonz.hooks import DialHook, StatusHook
from gateway.jambonz.urls import TRANSFER_ACTION, hook_url
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.sip import DIAL_MARGIN, SipParticipants
from gateway.security.destinations import DestinationDenied, check_not_denied, is_allowed
from gateway.storage.registry import CallRegistry
from gateway.transfers.fallback import Fallback

OK = SipOutcome(200, "OK")


class Transfers:
    """Raises ApiError and LiveKitError. `clock` in ms since epoch."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        sip: SipParticipants,
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
        """Transfer the call to `target`, by default its metadata's `transfer_target`.

        `by` is the API client, for the timeline. Returns the call as it is then.
        """
        target = target or str(call.metadata.get("transfer_target", ""))
        if not target:
            details = {"target": ["Missing, and the call has no transfer_target."]}
            raise ApiError(ErrorCode.INVALID, "cannot use: target", details)
        destination = self.allowed_destination(call, target)
        _check_transferable(call)
        detail = f"to {destination.number_or_uri}, requested by {by}"
        await self._claim(call, detail)
        if call.is_from_jambonz and not call.is_enqueued:
            await self._transfer_by_jambonz(call, destination)
        else:
            started = await self.start(call, destination, detail=f"requested by {by}")
            _check_started(started)
            await self._transfer_by_livekit(call, destination)
        return await self._lifecycle.refreshed(call)

    def dial(self, call: Call) -> Verbs:
        """The verbs that connect the caller of a call that is being transferred to its target."""
        transfer, settings = call.transfer, self._config.transfer
        assert transfer  # noqa: S101 - callers have checked `is_transferring`
        destination = parse_destination(transfer.target)
        target = (
            FallbackTarget(sip=destination.number_or_uri)
            if destination.hostname
            else FallbackTarget(phone=destination.user, trunk=settings.trunk)
        )
        options = replace(
            self._config.inbound.dial_options, ringing_timeout=settings.ringing_timeout
        )
        return verbs.transfer_to(
            target,
            action_hook=hook_url(
                self._config.server.public_url,
                TRANSFER_ACTION,
                call_id=call.call_id,
            ),
            options=options,
        )

    async def on_transfer_action(self, hook: DialHook, call_id: str) -> Verbs:
        """Answer the action hook of that dial; if it failed, the caller gets the fallback."""
        outcome = self._outcome(hook)
        call = await self._lifecycle.apply_to(call_id, self._registry.get, lambda _: outcome)
        if hook.answered or hook.caller_gone:
            return []
        return await self._fallback.route_to_fallback(call, 0, hook.dial_sip, answered=True)

    def is_target_leg(self, call: Call, hook: StatusHook) -> bool:
        """Whether `hook` is about the leg towards a transfer's target, not the agent's leg."""
        transfer = call.transfer
        if transfer is None or not call.is_transferring:
            return False
        return hook.is_b_leg and hook.call_sid != transfer.refer_sid

    def completed_event(self, at: int) -> Event:
        """The target has answered: for the agent and the gateway the call ends."""
        reason = DisconnectionReason.CALL_TRANSFER
        return Event(EventKind.TRANSFER_ENDED, at, reason=reason, sip=OK, detail="answered")

    def _outcome(self, hook: DialHook) -> Event:
        if hook.answered:
            return self.completed_event(self._clock())
        detail = f"dial {hook.dial_call_status or 'ended without a status'}"
        # The agent's leg ended when its REFER was accepted, so the call ends in any case.
        caller_gone = DisconnectionReason.USER_HANGUP
        return Event(
            EventKind.TRANSFER_ENDED,
            self._clock(),
            reason=caller_gone if hook.caller_gone else DisconnectionReason.CALL_TRANSFER,
            sip=hook.final_sip,
            detail=detail,
        )

    def allowed_destination(self, call: Call, target: str) -> Destination:
        """`target` parsed. Raises ApiError if it is malformed or not allowed."""
        try:
            destination = parse_destination(target)
        except ValueError as error:
            details = {"target": [f"It {error}."]}
            raise ApiError(ErrorCode.INVALID, "cannot use: target", details) from error
        allowed = self._config.transfer.allowed
        if target != call.metadata.get("transfer_target") and not is_allowed(destination, allowed):
            message = f"no pattern of transfer.allowed matches {destination.number_or_uri}"
            raise ApiError(ErrorCode.TRANSFER_NOT_ALLOWED, message)
        try:
            check_not_denied(
                destination,
                allowed=allowed,
                denied=self._config.outbound.denied,
                setting="transfer.allowed",
            )
        except DestinationDenied as error:
            raise ApiError(ErrorCode.TRANSFER_NOT_ALLOWED, str(error)) from error
        return destination

    async def start(
        self, call: Call, destination: Destination, *, detail: str, refer_sid: str = ""
    ) -> Call:
        """The call once its transfer has started; `refer_sid` is the leg that sent the REFER."""
        now = self._clock()
        event = Event(
            EventKind.TRANSFER_STARTED,
            now,
            transfer=Transfer(destination.number_or_uri, now, refer_sid=refer_sid),
            detail=f"to {destination.number_or_uri}, {detail}",
        )
        # While storage is unavailable: the call as it will be once the event is applied.
        return await self._lifecycle.apply(call.call_id, event) or transition(call, event)

    async def _claim(self, call: Call, detail: str) -> None:
        """Make this the call's only request for a transfer, also among several gateways.

        It holds until the transfer starts or is refused, but not for longer than a REFER takes.
        """
        now = self._clock()
        lasts_ms = (self._config.transfer.ringing_timeout + 2 * DIAL_MARGIN) * 1000
        request = TransferRequest(secrets.token_hex(8), now + lasts_ms)
        event = Event(EventKind.TRANSFER_REQUESTED, now, transfer_request=request, detail=detail)
        claimed = await self._lifecycle.apply(call.call_id, event)
        if claimed is None:
            raise StorageUnavailable("storage is unavailable: the transfer was not requested")
        if claimed.transfer_request != request:
            _check_transferable(claimed)
            raise already_transferring()

    async def _refer(self, call: Call, destination: Destination) -> None:
        uri = destination.number_or_uri
        uri = uri if destination.hostname else f"tel:{uri}"
        await self._sip.transfer(call, uri, ringing_timeout=self._config.transfer.ringing_timeout)

    async def _transfer_by_jambonz(self, call: Call, destination: Destination) -> None:
        """Have LiveKit send a REFER, which Jambonz posts to the refer hook: see refer.py."""
        try:
            await self._refer(call, destination)
        except LiveKitError as error:
            detail = error.reason if isinstance(error, LiveKitRefused) else str(error)
            event = Event(EventKind.TRANSFER_REFUSED, self._clock(), detail=detail)
            await self._lifecycle.apply(call.call_id, event)
            raise

    async def _transfer_by_livekit(self, call: Call, destination: Destination) -> None:
        """Have LiveKit send a REFER to the trunk, whose response is the transfer's outcome.

        An enqueued caller is dialed for by Jambonz instead: once LiveKit's leg is removed, the
        queue's action hook is answered with `dial()`.
        """
        try:
            if call.is_enqueued:
                await self._sip.remove(call)
                return
            await self._refer(call, destination)
        except LiveKitError as error:
            sip, detail = None, str(error)
            if isinstance(error, LiveKitRefused):
                sip, detail = error.sip, error.reason
            event = Event(EventKind.TRANSFER_ENDED, self._clock(), sip=sip, detail=detail)
            await self._lifecycle.apply(call.call_id, event)
            raise
        await self._lifecycle.apply(call.call_id, self.completed_event(self._clock()))


def _check_transferable(call: Call) -> None:
    if not call.is_active or call.answer_timestamp is None:
        raise ApiError(ErrorCode.NOT_ONGOING, f"the call is {call.call_status}, not ongoing")
    if call.is_transferring:
        raise already_transferring()


def _check_started(call: Call) -> None:
    if not call.is_transferring:
        raise ApiError(ErrorCode.NOT_ONGOING, f"the call is {call.call_status}, not ongoing")


def already_transferring() -> ApiError:
    return ApiError(ErrorCode.TRANSFER_PENDING, "the call is being transferred already")
