"""The `participant` strategy: the caller waits at Jambonz, LiveKit calls in, both legs meet there.

For LiveKit projects without an inbound trunk: all they need is an outbound one towards Jambonz.
"""

import asyncio
from collections.abc import Callable

import structlog

from gateway.calls.call import Call, Event, EventKind
from gateway.calls.destinations import plain_name, plain_user
from gateway.config.settings import DURATION_MARGIN, Config
from gateway.errors import LiveKitError
from gateway.inbound.room_strategy import RoomStrategy, call_headers
from gateway.jambonz import verbs
from gateway.jambonz.urls import hook_url
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.dialing import Dialer
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.sip import DialOrder
from gateway.livekit.trunks import OutboundTrunk

log = structlog.get_logger()

#: Between two looks whether the agent is in the room, in s.
LOOK_EVERY = 0.1
#: How long after LiveKit's leg was answered its caller hears it, in s: Jambonz answers it first
#: and looks into the queue 1 s later (jambonz-feature-server 0.9.8, `dequeue`).
AUDIBLE_AFTER = 1.5
NO_TRUNK = "there is no outbound trunk towards Jambonz: `python -m gateway setup` makes one"


class ParticipantStrategy:
    def __init__(
        self,
        config: Config,
        *,
        rooms: RoomStrategy,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        dialer: Dialer,
        trunk: OutboundTrunk,
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._rooms = rooms
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._dialer = dialer
        self._trunk = trunk
        self._clock = clock

    async def prepare(self, call: Call) -> Event:
        """Room and agent as ever, then LiveKit's leg, which takes its time: beside us."""
        told = {"audible_after": AUDIBLE_AFTER}
        event = await self._rooms.prepare(call, told=told, enqueues=True)
        if event.kind is not EventKind.ROOM_CREATED:
            return event
        self._dialer.spawn(self._call_in(call), name=f"call in {call.call_id}")
        return Event(EventKind.ENQUEUED, event.at, ids=event.ids)

    def connect(self, call: Call) -> Verbs:
        public_url = self._config.server.public_url
        return verbs.enqueue(
            call.call_id,
            wait_hook=hook_url(public_url, "/livekit-api/queue-wait", call_id=call.call_id),
            action_hook=hook_url(public_url, "/livekit-api/queue-action", call_id=call.call_id),
        )

    async def _call_in(self, call: Call) -> None:
        """LiveKit's leg, once the agent is there: Jambonz connects it with the caller at once."""
        try:
            if not await self._agent_came(call):
                return
            trunk_id = await self._trunk.to_jambonz()
        except LiveKitError as error:
            await self._failed(call, str(error))
            return
        if not trunk_id:
            await self._failed(call, NO_TRUNK)
            return
        await self._lifecycle.apply(call.call_id, Event(EventKind.DIALING, self._clock()))
        await self._dialer.dial(call, self._order(call, trunk_id))

    async def _agent_came(self, call: Call) -> bool:
        """Wait for the agent; False when the call has ended meanwhile, see watch.py."""
        while (await self._lifecycle.refreshed(call)).is_active:
            if await self._livekit.has_agent(call.call_id):
                return True
            await asyncio.sleep(LOOK_EVERY)
        return False

    def _order(self, call: Call, trunk_id: str) -> DialOrder:
        return DialOrder(
            room=call.call_id,
            to=call.call_id,
            identity=f"sip_{call.from_number or 'anonymous'}",
            trunk_id=trunk_id,
            from_number=plain_user(call.from_number),
            display_name=plain_name(call.caller_name),
            headers=call_headers(call),
            ringing_timeout=call.ringing_timeout,
            max_call_duration=call.max_call_duration + DURATION_MARGIN,
        )

    async def _failed(self, call: Call, why: str) -> None:
        log.error("call.livekit_failed", call_id=call.call_id, error=why)
        event = Event(EventKind.LIVEKIT_FAILED, self._clock(), detail=why)
        await self._lifecycle.apply(call.call_id, event)
