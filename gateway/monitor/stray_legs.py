"""SIP legs that unsolicited INVITEs brought into a call's room: they are removed, and counted.

Everyone who reaches LiveKit's SIP port and knows a call's id gets into its room by the dispatch
rule that `setup` created. Of the legs that came by it the first is the caller's, in a call that
LiveKit dials none.
"""

from collections.abc import Callable

import structlog

from gateway.calls.attribution import is_callers_leg
from gateway.calls.call import Call, Event, EventKind
from gateway.calls.participants import ParticipantKind
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import RoomParticipant, RoomParticipants
from gateway.monitor.diagnostics import Counters
from gateway.monitor.dispatch_rules import DispatchRules

log = structlog.get_logger()


class StrayLegs:
    """Raises LiveKitError. `clock` in ms since epoch."""

    def __init__(
        self,
        livekit: LiveKit,
        rules: DispatchRules,
        lifecycle: Lifecycle,
        counters: Counters,
        clock: Callable[[], int],
    ) -> None:
        self._livekit = livekit
        self._rules = rules
        self._lifecycle = lifecycle
        self._counters = counters
        self._clock = clock

    async def on_event(self, call: Call, event: Event) -> None:
        """Check the room of an active call after `event`, if that is about an unexpected leg."""
        leg = event.participant
        if event.kind is not EventKind.CALLER_JOINED or leg is None or not call.is_active:
            return
        if leg.kind is ParticipantKind.SIP and leg.rule_id and not is_callers_leg(call, leg):
            await self.check(call, await self._livekit.room_participants(call.call_id))

    async def check(self, call: Call, participants: RoomParticipants) -> None:
        """Remove all legs that came by our rule but the caller's.

        That is the first which LiveKit lists: the one that was the caller's may have left. Unless
        the caller is there who came by no rule of ours, as from the browser.
        """
        if all(is_callers_leg(call, leg.participant) for leg in participants.sip if leg.rule_id):
            return
        legs = [leg for leg in participants.sip if await self._rules.is_ours(leg.rule_id)]
        caller = participants.caller_leg(call)
        came_otherwise = caller is not None and caller not in legs
        if legs and not (call.has_dialed_leg or came_otherwise):
            first = legs.pop(0)
            if not is_callers_leg(call, first.participant):
                await self._apply(call, EventKind.CALLER_RETURNED, first)
        for leg in legs:
            await self._remove(call, leg)

    async def _remove(self, call: Call, leg: RoomParticipant) -> None:
        await self._livekit.remove_participant(call.call_id, leg.identity)
        self._counters.stray_leg(self._clock())
        log.warning(
            "leg.stray_removed",
            call_id=call.call_id,
            rule_id=leg.rule_id,
            sip_call_id=leg.participant.sip_call_id,
        )
        await self._apply(call, EventKind.STRAY_LEG_REMOVED, leg)

    async def _apply(self, call: Call, kind: EventKind, leg: RoomParticipant) -> None:
        event = Event(kind, self._clock(), detail=leg.identity, participant=leg.participant)
        await self._lifecycle.apply(call.call_id, event)
