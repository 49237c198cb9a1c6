"""Announced transfers: the target hears a summary, and takes the call by a key, or does not.

Jambonz runs the confirm hook's verbs once the target has answered, and connects the two if the
target's leg is up after them (jambonz-feature-server 0.9.8, `place-outdial.js`).
"""

from collections.abc import Callable
from dataclasses import replace

from gateway.calls.call import Call, Event, EventKind
from gateway.calls.outcomes import SipOutcome, Transfer, TransferKind
from gateway.calls.reasons import DisconnectionReason
from gateway.config.settings import Config
from gateway.errors import LiveKitError, StorageUnavailable
from gateway.jambonz import verbs
from gateway.jambonz.hooks import DialHook, GatherHook
from gateway.jambonz.urls import CONFIRM_ACTION, hook_url
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.storage.registry import CallRegistry

OK = SipOutcome(200, "OK")
#: The key that takes the call.
ACCEPT_KEY = "1"


class AnnouncedTransfers:
    """`clock` in ms since epoch. The hooks raise StorageUnavailable: then Jambonz asks again."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._clock = clock

    async def on_confirm(self, call_id: str) -> Verbs:
        """Answer the confirm hook: what the target, who has answered, hears."""
        call = await self._registry.get(call_id)
        transfer = open_announcement(call) if call else None
        if transfer is None:
            return verbs.hangup()
        detail = f"{transfer.target} has answered"
        event = Event(EventKind.TRANSFER_ANNOUNCED, self._clock(), detail=detail)
        await self._lifecycle.apply(call_id, event)
        return verbs.announce(
            transfer.summary,
            prompt=self._config.transfer.prompt,
            action_hook=hook_url(self._config.server.public_url, CONFIRM_ACTION, call_id=call_id),
        )

    async def on_confirm_action(self, hook: GatherHook, call_id: str) -> Verbs:
        """Answer the action hook of that `gather`: the target pressed a key, or none."""
        call = await self._registry.get(call_id)
        accepts = hook.digits == ACCEPT_KEY
        if call and open_announcement(call):
            event = completed_event(self._clock()) if accepts else self._declined(hook)
            change = await self._lifecycle.commit(call_id, event)
            call = change.after if change else None
        # Jambonz repeats a hook whose answer was lost.
        is_taken = call is not None and call.transfer is not None and call.transfer.has_succeeded
        return verbs.proceed() if accepts and is_taken else verbs.hangup()

    def _declined(self, hook: GatherHook) -> Event:
        """Who presses another key declines; nobody may be there where none was pressed."""
        declined = DisconnectionReason.USER_DECLINED
        reason = declined if hook.digits else DisconnectionReason.DIAL_NO_ANSWER
        detail = "another key" if hook.digits else "no key"
        return Event(EventKind.TRANSFER_DECLINED, self._clock(), reason=reason, detail=detail)

    async def agent_waits(self, call_id: str) -> bool:
        """Whether the caller can go back to an agent that is still in the call's room."""
        try:
            call = await self._registry.get(call_id)
            if call is None or not call.is_active or not is_announced(call):
                return False
            gone = call.agent_absence.job_id if call.agent_absence else ""
            return await self._livekit.has_agent(call_id, besides_job=gone)
        except (StorageUnavailable, LiveKitError):
            return False  # the fallback needs neither


def is_announced(call: Call) -> bool:
    """Whether the call's transfer, the last one, was an announced one."""
    return call.transfer is not None and call.transfer.kind is TransferKind.ANNOUNCED


def open_announcement(call: Call) -> Transfer | None:
    """The announced transfer whose target has not accepted, nor declined for good."""
    return call.open_transfer if is_announced(call) else None


def completed_event(at: int) -> Event:
    """The target has taken the call: for the agent and the gateway it ends."""
    reason = DisconnectionReason.CALL_TRANSFER
    return Event(EventKind.TRANSFER_ENDED, at, reason=reason, sip=OK, detail="answered")


def declined_event(transfer: Transfer, hook: DialHook, at: int) -> Event:
    """The target was not reached, or did not accept: the caller goes back to the agent."""
    reason = transfer.reason or (
        # They hung up while they listened.
        DisconnectionReason.USER_DECLINED if hook.answered else DisconnectionReason.DIAL_NO_ANSWER
    )
    return Event(
        EventKind.TRANSFER_ENDED,
        at,
        sip=None if hook.answered else hook.final_sip,
        transfer=replace(transfer, reason=reason),
        detail=f"dial {hook.dial_call_status or 'ended without a status'}",
    )
