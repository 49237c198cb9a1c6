"""What LiveKit has and tells of rooms, and the calls there are: brought together again.

Webhooks may be lost, and gateways may be killed. What a call lacks then is read off its room:
calls without a room have ended, rooms without a call are calls that were forgotten, and rooms that
a stranger's INVITE made are deleted.
"""

from collections.abc import Callable, Sequence

import structlog

from gateway.calls import Call, CallStatus, DisconnectionReason, Event, EventKind
from gateway.concurrently import for_each
from gateway.errors import LiveKitError, RegistryUnavailable
from gateway.lifecycle import GOODBYE_MS, Lifecycle
from gateway.livekit.client import LiveKit, Presence, RoomState
from gateway.livekit.webhooks import RoomEvent
from gateway.metadata import rebuilt
from gateway.registry import CallRegistry, Position
from gateway.settings import Config
from gateway.sweeper import Sweeper
from gateway.uninvited import Uninvited

log = structlog.get_logger()

#: A room younger than this may not be in LiveKit's list yet, and nobody in it yet, in ms.
SETTLED_MS = 10_000
#: How many calls' rooms are looked into each time, and how many of them at once.
LOOKED_INTO = 200
AT_ONCE = 8


class Rooms:
    """`clock` in ms since epoch."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        sweeper: Sweeper,
        uninvited: Uninvited,
        clock: Callable[[], int],
    ) -> None:
        self._own_url = config.own_url
        self._registry = registry
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._sweeper = sweeper
        self._uninvited = uninvited
        self._clock = clock
        self._looked_up_to: Position = (0, "")

    async def told(self, signal: RoomEvent) -> None:
        """A LiveKit webhook, delivered at least once and in any order."""
        if signal.event is None:
            return
        if await self._lifecycle.apply(signal.room, signal.event):
            return
        try:
            if await self._registry.get(signal.room):
                return
            if await self._recall(signal.room, signal.metadata, signal.room_sid):
                await self._lifecycle.apply(signal.room, signal.event)
            elif signal.event.kind is EventKind.CALLER_JOINED:
                await self._uninvited.check(signal.room, signal.metadata, signal.rule_id)
        except (RegistryUnavailable, LiveKitError) as error:
            log.warning("rooms.unknown", call_id=signal.room, error=str(error))

    async def compare(self) -> None:
        """One comparison of all calls with all rooms. Raises LiveKitError, RegistryUnavailable."""
        rooms = {room.name: room for room in await self._livekit.rooms()}
        active = await self._registry.active()
        settled = self._clock() - SETTLED_MS
        for start, call_id in active:
            if call_id not in rooms and start < settled:
                await self._happens(call_id, EventKind.ROOM_FINISHED, "LiveKit has no such room")
        known = {call_id for _, call_id in active}
        strange = [room for name, room in rooms.items() if name not in known]
        await for_each(strange, self._account_for, at_once=AT_ONCE)
        await for_each(self._next_few(active, rooms), self._look_into, at_once=AT_ONCE)

    async def _account_for(self, room: RoomState) -> None:
        """A room without an active call."""
        call = await self._registry.get(room.name)
        if call:
            over = not call.is_active and (call.end_timestamp or 0)
            if over and self._clock() - over > 2 * GOODBYE_MS:
                self._sweeper.doom(room.name, grace_ms=0)
        elif not await self._recall(room.name, room.metadata, room.sid):
            await self._uninvited.look_at(room)

    async def _recall(self, room: str, metadata: str, room_sid: str) -> bool:
        """Take up a call that this gateway made and does not know any more.

        One that began since every call is known has ended, and was kept long enough.
        """
        call = rebuilt(metadata, room=room, own_url=self._own_url)
        if call is None or call.start_timestamp >= await self._registry.since():
            return False
        await self._lifecycle.register(call)
        detail = "the gateway had lost it, LiveKit had not"
        event = Event(EventKind.REBUILT, self._clock(), ids={"room_sid": room_sid}, detail=detail)
        await self._lifecycle.apply(room, event)
        await self._catch_up(call)
        return True

    async def _look_into(self, call_id: str) -> None:
        call = await self._registry.get(call_id)
        if call and call.is_active and not call.is_transferring:
            await self._catch_up(call)

    async def _catch_up(self, call: Call) -> None:
        """What the call has not been told of those who are in its room, or are not any more."""
        there = await self._livekit.presence(call.call_id)
        if there.has_agent and not call.agent_came:
            await self._happens(call.call_id, EventKind.AGENT_JOINED, "seen in the room")
        if call.call_status is not CallStatus.ONGOING:
            if there.leg == "active":
                at = there.joined_at or self._clock()
                event = Event(EventKind.ANSWERED, at, detail="seen in the room")
                await self._lifecycle.apply(call.call_id, event)
            return
        answered = call.answer_timestamp or call.start_timestamp
        if self._clock() - answered > SETTLED_MS:
            await self._miss(call, there)

    async def _miss(self, call: Call, there: Presence) -> None:
        """Who left an answered call without a word."""
        if there.leg is None:
            reason = DisconnectionReason.USER_HANGUP
            event = Event(
                EventKind.CALLER_LEFT, self._clock(), reason=reason, detail="not in the room"
            )
            await self._lifecycle.apply(call.call_id, event)
        elif not there.has_agent and call.absence is None:
            reason = DisconnectionReason.AGENT_ERROR
            event = Event(
                EventKind.AGENT_LEFT, self._clock(), reason=reason, detail="not in the room"
            )
            await self._lifecycle.apply(call.call_id, event)

    async def _happens(self, call_id: str, kind: EventKind, detail: str) -> None:
        await self._lifecycle.apply(call_id, Event(kind, self._clock(), detail=detail))

    def _next_few(self, active: Sequence[Position], rooms: dict[str, RoomState]) -> Sequence[str]:
        """Calls to look into now, in turn: with many calls it takes a while to see all."""
        there = [position for position in active if position[1] in rooms]
        later = [position for position in there if position > self._looked_up_to]
        few = (later or there)[:LOOKED_INTO]
        self._looked_up_to = few[-1] if few else (0, "")
        return [call_id for _, call_id in few]
