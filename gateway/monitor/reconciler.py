"""What LiveKit has and tells of rooms, and the calls there are: brought together again.

Webhooks may be lost, and gateways may be killed. What a call lacks then is read off its room:
calls without a room have ended, rooms without a call are calls that were forgotten, and rooms that
a stranger's INVITE made are deleted.
"""

from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial

import structlog

from gateway.aio import for_each
from gateway.calls.call import Call, CallStatus, Direction, DisconnectionReason, Event, EventKind
from gateway.config.settings import Config
from gateway.errors import LiveKitError, StorageUnavailable
from gateway.lifecycle.lifecycle import GOODBYE_MS, Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import restore_call
from gateway.livekit.rooms import Leg, RoomParticipants, RoomState
from gateway.livekit.webhooks import RoomEvent
from gateway.monitor.stray_rooms import StrayRooms
from gateway.storage.registry import CallRegistry, Position

log = structlog.get_logger()

#: A room younger than this may not be in LiveKit's list yet, and nobody in it yet, in ms.
SETTLED_MS = 10_000
#: How many calls' rooms are looked into each time, and how many of them at once.
LOOKED_INTO = 200
AT_ONCE = 8
#: How many calls' rooms are listed each time where there are more, and how often all are, in ms.
SOME = 1_000
SEE_ALL_EVERY_MS = 600_000
#: What the timeline says of events that nobody told.
SEEN = "seen in the room"
NOT_SEEN = "not in the room"


class Reconciler:
    """`clock` in ms since epoch."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        room_cleanup: RoomCleanup,
        stray_rooms: StrayRooms,
        clock: Callable[[], int],
    ) -> None:
        self._own_url = config.own_url
        self._registry = registry
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._room_cleanup = room_cleanup
        self._stray_rooms = stray_rooms
        self._clock = clock
        self._looked_up_to: Position = (0, "")
        self._asked_up_to: Position = (0, "")
        self._saw_all_at = 0

    async def on_webhook(self, signal: RoomEvent) -> None:
        """A LiveKit webhook, delivered at least once and in any order."""
        event = signal.event
        if event is None or await self._lifecycle.apply(signal.room, event):
            return
        try:
            known = await self._registry.get(signal.room)
            if known or await self._restore(signal.room, signal.metadata, signal.room_sid):
                # Events have ids: one that waits in the backlog does not happen twice.
                await self._lifecycle.apply(signal.room, event)
            elif event.kind is EventKind.CALLER_JOINED:
                await self._stray_rooms.came(signal.room, signal.rule_id)
        except (StorageUnavailable, LiveKitError) as error:
            log.warning("reconcile.lookup_failed", call_id=signal.room, error=str(error))

    async def reconcile(self) -> None:
        """One comparison of calls with rooms. Raises LiveKitError, RegistryUnavailable."""
        now = self._clock()
        saw_all = now - self._saw_all_at < SEE_ALL_EVERY_MS
        if saw_all and await self._registry.count_active() > SOME:
            await self._reconcile_some()
        else:
            await self._reconcile_all()
            self._saw_all_at = now

    async def _reconcile_some(self) -> None:
        """Of very many calls some, in turn: all rooms at once would hold up the doors."""
        active = await self._registry.active()
        some = ([place for place in active if place > self._asked_up_to] or active)[:SOME]
        self._asked_up_to = some[-1]
        asked = await self._livekit.rooms(*(call_id for _, call_id in some))
        rooms = {room.name: room for room in asked}
        await self._end_roomless(some, rooms)
        await self._look_into(some, rooms)

    async def _reconcile_all(self) -> None:
        rooms = {room.name: room for room in await self._livekit.rooms()}
        active = await self._registry.active()
        await self._end_roomless(active, rooms)
        known = {call_id for _, call_id in active}
        strange = [room for name, room in rooms.items() if name not in known]
        unknown = await self._account_for(strange)
        # Some of those rooms may be calls now.
        await self._look_into(await self._registry.active(), rooms, strangers=unknown)

    async def _look_into(
        self,
        active: Sequence[Position],
        rooms: Mapping[str, RoomState],
        *,
        strangers: Sequence[RoomState] = (),
    ) -> None:
        """Ask who is there in a few of the rooms: of calls that are active, and of strangers."""
        there = [place for place in active if place[1] in rooms]
        todo = [
            *(partial(self._look_at, call_id) for call_id in self._next_few(there, rooms)),
            *(
                partial(self._stray_rooms.look_at, room)
                for room in self._stray_rooms.unseen(strangers)
            ),
        ]
        await for_each(todo, _unless_refused, limit=AT_ONCE)

    async def _end_roomless(self, active: Sequence[Position], rooms: Container[str]) -> None:
        settled = self._clock() - SETTLED_MS
        for start, call_id in active:
            if call_id in rooms or start >= settled:
                continue
            call = await self._registry.get(call_id)
            if call and not call.is_transferring:  # who is on the way to somebody has left the room
                await self._happens(call_id, EventKind.ROOM_FINISHED, "LiveKit has no such room")

    async def _account_for(self, strange: Iterable[RoomState]) -> list[RoomState]:
        """Rooms without an active call; those of them that were never a call's."""
        unknown: list[RoomState] = []

        async def look_up(room: RoomState) -> None:
            call = await self._registry.get(room.name)
            if call:
                self._delete_leftover_room(call)
            elif not await self._restore(room.name, room.metadata, room.sid):
                unknown.append(room)

        await for_each(strange, look_up, limit=AT_ONCE)
        return unknown

    def _delete_leftover_room(self, call: Call) -> None:
        """A call whose room is there; if it has ended, that has been deleted in vain."""
        if call.end_timestamp and self._clock() - call.end_timestamp > 2 * GOODBYE_MS:
            self._room_cleanup.schedule(call.call_id, grace_ms=0)

    async def _restore(self, room: str, metadata: str, room_sid: str) -> bool:
        """Take up a call that this gateway made and does not know any more.

        One that began since every call is known has ended, and was kept long enough.
        """
        call = restore_call(metadata, room=room, own_url=self._own_url)
        if call is None or call.start_timestamp >= await self._registry.since():
            return False
        added = await self._lifecycle.register(call)
        if added.is_new:
            detail = "the gateway had lost it, LiveKit had not"
            ids = {"room_sid": room_sid}
            event = Event(EventKind.RESTORED, self._clock(), ids=ids, detail=detail)
            await self._lifecycle.apply(room, event)
        elif added.call.call_id != room:
            # Jambonz has asked again meanwhile: its caller is sent to the newer room.
            self._room_cleanup.schedule(room, grace_ms=0)
        return True

    async def _look_at(self, call_id: str) -> None:
        """What the call has not been told of those who are in its room, or are not any more."""
        call = await self._registry.get(call_id)
        if call is None or not call.is_active or call.is_transferring:
            return
        there = await self._livekit.room_participants(call_id)
        for event in self._missed(call, there):
            await self._lifecycle.apply(call_id, event)

    def _missed(self, call: Call, there: RoomParticipants) -> Iterator[Event]:
        now = self._clock()
        if there.has_agent and not call.agent_came:
            yield Event(EventKind.AGENT_JOINED, now, detail=SEEN)
        if call.call_status is not CallStatus.ONGOING:
            if there.answered:
                yield answer_seen(call, there.answered, now)
            elif there.legs and call.call_status is CallStatus.REGISTERED:
                yield Event(EventKind.CALLER_JOINED, now, detail=SEEN)
        elif now - (call.answer_timestamp or call.start_timestamp) > SETTLED_MS:
            if not there.legs:
                reason = DisconnectionReason.USER_HANGUP
                yield Event(EventKind.CALLER_LEFT, now, reason=reason, detail=NOT_SEEN)
            elif not there.has_agent and call.agent_absence is None:
                reason = DisconnectionReason.AGENT_ERROR
                yield Event(EventKind.AGENT_LEFT, now, reason=reason, detail=NOT_SEEN)

    async def _happens(self, call_id: str, kind: EventKind, detail: str) -> None:
        await self._lifecycle.apply(call_id, Event(kind, self._clock(), detail=detail))

    def _next_few(self, there: Sequence[Position], rooms: Mapping[str, RoomState]) -> Sequence[str]:
        """Calls to look into now: some whose caller seems to be gone, others in turn.

        With many calls it takes a while to see all.
        """
        settled = self._clock() - SETTLED_MS
        alone = [
            call_id for start, call_id in there if start < settled and not rooms[call_id].present
        ]
        alone = alone[: LOOKED_INTO // 2]
        later = [place for place in there if place > self._looked_up_to] or there
        few = later[: LOOKED_INTO - len(alone)]
        self._looked_up_to = few[-1] if few else (0, "")
        return list(dict.fromkeys([*alone, *(call_id for _, call_id in few)]))


def answer_seen(call: Call, leg: Leg, now: int) -> Event:
    """Nobody told that the call was answered, but `leg` talks (`now` in ms since epoch).

    Inbound legs are answered soon after they join; dialed ones ring in the room, and only where
    nobody knows better that is taken for the answer.
    """
    soon = call.direction is Direction.INBOUND or call.needs_recovery
    at = min(leg.joined_at or now, now) if soon else now
    return Event(EventKind.ANSWERED, at, detail=SEEN)


async def _unless_refused(look: Callable[[], Awaitable[None]]) -> None:
    """What LiveKit will not tell of one room keeps nobody from the others."""
    try:
        await look()
    except LiveKitError as error:
        if error.is_unavailable:
            raise
        log.warning("reconcile.lookup_failed", error=str(error))
