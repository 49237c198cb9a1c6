"""The `participant` strategy: Jambonz enqueues the caller, and LiveKit dials Jambonz.

For LiveKit projects without an inbound trunk: they need only an outbound trunk towards Jambonz.
"""

from collections.abc import Callable
from dataclasses import replace

import structlog

from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.calls.callers import plain_name, plain_user
from gateway.calls.participants import Leg, Participant, ParticipantKind
from gateway.config.settings import DURATION_MARGIN, Config
from gateway.errors import LiveKitError
from gateway.inbound.room_strategy import RoomStrategy, call_headers
from gateway.jambonz import leg_token, verbs
from gateway.jambonz.urls import QUEUE_ACTION, QUEUE_WAIT, hook_url
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.agent_wait import AgentWait
from gateway.lifecycle.dialing import Dialer
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.sip import SipParticipantRequest
from gateway.livekit.trunks import OutboundTrunk

log = structlog.get_logger()

#: How long after LiveKit's leg was answered the caller hears it, in s: Jambonz answers it first
#: and looks into the queue 1 s later (jambonz-feature-server 0.9.8, `dequeue`).
AUDIBLE_AFTER = 1.5
NO_TRUNK = "there is no outbound trunk towards Jambonz: `python -m gateway setup` creates one"


class ParticipantStrategy:
    """inbound.strategy: participant. `clock` in ms since epoch."""

    def __init__(
        self,
        config: Config,
        *,
        rooms: RoomStrategy,
        lifecycle: Lifecycle,
        agent_wait: AgentWait,
        dialer: Dialer,
        trunk: OutboundTrunk,
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._rooms = rooms
        self._lifecycle = lifecycle
        self._agent_wait = agent_wait
        self._dialer = dialer
        self._trunk = trunk
        self._clock = clock

    async def prepare(self, call: Call) -> Event:
        """As the room strategy; then LiveKit's leg is dialed in the background."""
        identity = f"sip_{plain_user(call.from_number) or 'anonymous'}"
        leg = Participant(identity, ParticipantKind.SIP)
        call = replace(call, caller=Leg(identity))
        event = await self._rooms.prepare(call, audible_after=AUDIBLE_AFTER, enqueues=True)
        if event.kind is not EventKind.ROOM_CREATED:
            return event
        self._dialer.spawn(self._dial_jambonz(call), name=f"dial Jambonz {call.call_id}")
        return Event(EventKind.ENQUEUED, event.at, ids=event.ids, participant=leg)

    def connect(self, call: Call) -> Verbs:
        public_url = self._config.server.public_url
        return verbs.enqueue(
            call.call_id,
            wait_hook=hook_url(public_url, QUEUE_WAIT, call_id=call.call_id),
            action_hook=hook_url(public_url, QUEUE_ACTION, call_id=call.call_id),
        )

    async def _dial_jambonz(self, call: Call) -> None:
        """Wait for the agent, then dial: Jambonz bridges the leg with the caller at once."""
        limit = self._config.inbound.registered_timeout
        call = await self._agent_wait.until(call, lambda call: call.agent_audible, limit=limit)
        if not (call.is_active and call.agent_audible):
            return
        try:
            trunk_id = await self._trunk.to_jambonz()
        except LiveKitError as error:
            await self._failed(call, str(error))
            return
        if not trunk_id:
            await self._failed(call, NO_TRUNK)
            return
        dialing = Event(EventKind.DIALING, self._clock())
        call = await self._lifecycle.apply(call.call_id, dialing) or call
        if call.is_active:
            await self._dialer.dial(call, self._dial_request(call, trunk_id))

    def _dial_request(self, call: Call, trunk_id: str) -> SipParticipantRequest:
        is_outbound = call.direction is Direction.OUTBOUND  # Jambonz has called the person there
        caller = plain_user(call.to_number if is_outbound else call.from_number)
        return SipParticipantRequest(
            room=call.call_id,
            to=call.call_id,
            identity=call.caller.identity if call.caller else "",
            trunk_id=trunk_id,
            from_number=caller,
            display_name=plain_name(call.caller_name),
            headers={**call_headers(call), leg_token.HEADER: self._token(call)},
            ringing_timeout=call.ringing_timeout,
            max_call_duration=call.max_call_duration + DURATION_MARGIN,
        )

    def _token(self, call: Call) -> str:
        return leg_token.leg_token(call.call_id, self._config.livekit.api_secret)

    async def _failed(self, call: Call, detail: str) -> None:
        log.error("call.livekit_failed", call_id=call.call_id, error=detail)
        event = Event(EventKind.LIVEKIT_FAILED, self._clock(), detail=detail)
        await self._lifecycle.apply(call.call_id, event)
