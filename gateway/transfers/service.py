"""Transfers of calls: requested over HTTP or by REFER (refer.py), checked, carried out."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

from gateway.calls.call import Call, Event, EventKind
from gateway.calls.destinations import Destination, FallbackTarget, parse_destination
from gateway.calls.outcomes import Transfer, TransferKind, TransferRequest
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
from gateway.jambonz.urls import CONFIRM_HOOK, TRANSFER_ACTION, hook_url
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.sip import DIAL_MARGIN, SipParticipants
from gateway.security.destinations import DestinationDenied, check_not_denied, is_allowed
from gateway.storage.registry import CallRegistry
from gateway.transfers.announced import (
    AnnouncedTransfers,
    completed_event,
    declined_event,
    is_announced,
    open_announcement,
)
from gateway.transfers.fallback import Fallback
from gateway.transfers.warm import WarmTransfers


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
        announced: AnnouncedTransfers,
        warm: WarmTransfers,
        connect: Callable[[Call], Verbs],
        clock: Callable[[], int],
    ) -> None:
        """`connect` has the verbs that dial a caller into the call's room."""
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._sip = sip
        self._fallback = fallback
        self._announced = announced
        self._warm = warm
        self._connect = connect
        self._clock = clock

    async def request(
        self,
        call: Call,
        target: str,
        *,
        by: str,
        kind: TransferKind = TransferKind.COLD,
        summary: str = "",
    ) -> Call:
        """Transfer the call to `target`, by default its metadata's `transfer_target`.

        `by` is who requests it, for the timeline. The target of an announced transfer hears
        `summary`. Returns the call as it is then.
        """
        target = target or str(call.metadata.get("transfer_target", ""))
        if not target:
            details = {"target": ["Missing, and the call has no transfer_target."]}
            raise ApiError(ErrorCode.INVALID, "cannot use: target", details)
        destination = self.allowed_destination(call, target)
        _check_transferable(call)
        if kind is TransferKind.ANNOUNCED:
            _check_announceable(call)
        await self._claim(call, destination, kind, summary, by=by)
        if kind is TransferKind.WARM:
            await self._unless_refused(call, self._warm.dial(call, destination))
        elif call.is_from_jambonz and not call.is_enqueued:
            # LiveKit sends a REFER, which Jambonz posts to the refer hook: see refer.py.
            await self._unless_refused(call, self._refer(call, destination))
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
        public_url, call_id = self._config.server.public_url, call.call_id
        confirms = transfer.kind is TransferKind.ANNOUNCED
        return verbs.transfer_to(
            target,
            action_hook=hook_url(public_url, TRANSFER_ACTION, call_id=call_id),
            options=options,
            confirm_hook=hook_url(public_url, CONFIRM_HOOK, call_id=call_id) if confirms else "",
        )

    async def on_transfer_action(self, hook: DialHook, call_id: str) -> Verbs:
        """Answer the action hook of that dial; if it failed, the caller gets the fallback.

        Or they go back to the agent, if that waits for them.
        """
        goes_back = not hook.caller_gone and await self._announced.agent_waits(call_id)
        at = self._clock()
        call = await self._lifecycle.apply_to(
            call_id, self._registry.get, lambda call: _outcome(call, hook, at, goes_back=goes_back)
        )
        if call and goes_back:
            return self._connect(await self._lifecycle.refreshed(call))
        is_declined = call is not None and open_announcement(call) is not None
        if hook.caller_gone or (hook.answered and not is_declined):
            return []
        return await self._fallback.route_to_fallback(call, 0, hook.dial_sip, answered=True)

    def is_answer(self, call: Call, hook: StatusHook) -> bool:
        """Whether `hook` reports that a cold transfer's target, and not the agent, has answered."""
        transfer = call.transfer
        if transfer is None or not call.is_transferring or is_announced(call):
            return False
        return hook.is_b_leg and hook.call_sid != transfer.refer_sid

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
        now, target, request = self._clock(), destination.number_or_uri, call.transfer_request
        transfer = Transfer(target, now, refer_sid=refer_sid)
        if request and request.target == target:
            transfer = replace(transfer, kind=request.kind, summary=request.summary)
        event = Event(
            EventKind.TRANSFER_STARTED,
            now,
            transfer=transfer,
            detail=f"{_words(transfer.kind)}to {target}, {detail}",
        )
        # While storage is unavailable: the call as it will be once the event is applied.
        return await self._lifecycle.apply(call.call_id, event) or transition(call, event)

    async def _claim(
        self, call: Call, destination: Destination, kind: TransferKind, summary: str, *, by: str
    ) -> None:
        """Make this the call's only request for a transfer, also among several gateways.

        It holds until the transfer starts or is refused, but not for longer than a REFER takes.
        """
        now = self._clock()
        lasts_ms = (self._config.transfer.ringing_timeout + 2 * DIAL_MARGIN) * 1000
        target = destination.number_or_uri
        request = TransferRequest(secrets.token_hex(8), now + lasts_ms, target, kind, summary)
        detail = f"{_words(kind)}to {target}, requested by {by}"
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

    async def _unless_refused(self, call: Call, transfer: Awaitable[None]) -> None:
        """Await `transfer`, which begins by its own events; failed, it holds the call no more."""
        try:
            await transfer
        except (LiveKitError, ApiError) as error:
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
        await self._lifecycle.apply(call.call_id, completed_event(self._clock()))


def _outcome(call: Call, hook: DialHook, at: int, *, goes_back: bool) -> Event:
    """What the action hook of a transfer's dial means.

    The agent's leg ended when its REFER was accepted, so the call ends unless the caller
    `goes_back`.
    """
    announced = open_announcement(call)
    if hook.caller_gone or not (announced or hook.answered):
        gone = DisconnectionReason.USER_HANGUP
        reason = gone if hook.caller_gone else DisconnectionReason.CALL_TRANSFER
        detail = f"dial {hook.dial_call_status or 'ended without a status'}"
        return Event(EventKind.TRANSFER_ENDED, at, reason=reason, sip=hook.final_sip, detail=detail)
    if announced is None:
        return completed_event(at)
    declined = declined_event(announced, hook, at)
    return declined if goes_back else replace(declined, reason=DisconnectionReason.CALL_TRANSFER)


def _words(kind: TransferKind) -> str:
    """The kind in a timeline's detail, which is about cold transfers where it names none."""
    return "" if kind is TransferKind.COLD else f"{kind}, "


def _check_announceable(call: Call) -> None:
    """Raise ApiError for a caller whom Jambonz does not dial into the room, and back."""
    if not call.is_from_jambonz or call.is_enqueued:
        form = "Only calls that Jambonz dials into the room can be announced: inbound, `room`."
        raise ApiError(ErrorCode.INVALID, "cannot use: kind", {"kind": [form]})


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
