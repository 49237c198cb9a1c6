"""Reconciles calls with LiveKit: applies webhooks, and compares all calls with LiveKit's rooms.

Webhooks may be lost, and gateways may be killed; then a call's state is read from its room. A call
without a room has ended, a room of a call that is not stored restores the call, and a room that an
unsolicited INVITE created is deleted.
"""

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from functools import partial

import structlog

from gateway.aio import for_each
from gateway.calls.call import Call, Event, EventKind
from gateway.config.settings import Config
from gateway.errors import LiveKitError, RecordUnreadable, StorageUnavailable
from gateway.lifecycle.lifecycle import AGENT_EXIT_GRACE_MS, Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import restore_call
from gateway.livekit.rooms import RoomState
from gateway.livekit.webhooks import RoomEvent
from gateway.monitor.availability import Availability
from gateway.monitor.missed_events import SETTLING_MS, missed_events
from gateway.monitor.missing_rooms import MissingRooms
from gateway.monitor.stray_legs import StrayLegs
from gateway.monitor.stray_rooms import StrayRooms
from gateway.storage.registry import CallRegistry, Position

log = structlog.get_logger()

#: The participants of how many calls' rooms are checked each time, and how many concurrently.
MAX_ROOMS_CHECKED = 200
MAX_CONCURRENT_CHECKS = 8
#: Above this many active calls only so many of their rooms are listed each time, and all rooms only
#: once in FULL_LISTING_INTERVAL_MS.
MAX_ROOMS_LISTED = 1_000
FULL_LISTING_INTERVAL_MS = 600_000


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
        stray_legs: StrayLegs,
        availability: Availability,
        clock: Callable[[], int],
    ) -> None:
        self._own_url = config.own_url
        self._registry = registry
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._room_cleanup = room_cleanup
        self._stray_rooms = stray_rooms
        self._stray_legs = stray_legs
        self._availability = availability
        self._missing_rooms = MissingRooms(clock)
        self._clock = clock
        self._last_checked: Position = (0, "")
        self._last_listed: Position = (0, "")
        self._listed_all_at = 0

    async def on_webhook(self, webhook: RoomEvent) -> None:
        """Apply a LiveKit webhook; these are delivered at least once, and in any order."""
        event = webhook.event
        if event is None:
            return
        try:
            call = await self._lifecycle.apply(webhook.room, event)
            if call is None and await self._is_call(webhook):
                # If the event was deferred above it is still applied once, because it has an id.
                call = await self._lifecycle.apply(webhook.room, event)
            if call:
                await self._stray_legs.on_event(call, event)
            elif event.kind is EventKind.CALLER_JOINED and event.participant:
                await self._stray_rooms.on_caller_joined(webhook.room, event.participant.rule_id)
        except (StorageUnavailable, LiveKitError) as error:
            log.warning("reconcile.lookup_failed", call_id=webhook.room, error=str(error))

    async def _is_call(self, webhook: RoomEvent) -> bool:
        """Whether the webhook's room is that of a call, which may have to be restored."""
        if await self._registry.get(webhook.room):
            return True
        return await self._restore(webhook.room, webhook.metadata, webhook.room_sid)

    async def reconcile(self) -> None:
        """Compare calls with rooms once. Raises LiveKitError, StorageUnavailable."""
        now = self._clock()
        listed_all = now - self._listed_all_at < FULL_LISTING_INTERVAL_MS
        if listed_all and await self._registry.count_active() > MAX_ROOMS_LISTED:
            await self._reconcile_some()
        else:
            await self._reconcile_all()
            self._listed_all_at = now

    async def _reconcile_some(self) -> None:
        """Reconcile the next MAX_ROOMS_LISTED calls: all at once would delay requests."""
        active = await self._registry.active()
        not_listed = [position for position in active if position > self._last_listed]
        calls = (not_listed or active)[:MAX_ROOMS_LISTED]
        self._last_listed = calls[-1]
        listing = await self._livekit.rooms(*(call_id for _, call_id in calls))
        rooms = {room.name: room for room in listing}
        await self._end_calls_without_room(calls, rooms)
        await self._check_participants(calls, rooms)

    async def _reconcile_all(self) -> None:
        rooms = {room.name: room for room in await self._livekit.rooms()}
        active = await self._registry.active()
        active_ids = {call_id for _, call_id in active}
        self._missing_rooms.forget(all_but=active_ids)
        await self._end_calls_without_room(active, rooms)
        inactive = [room for name, room in rooms.items() if name not in active_ids]
        no_calls = await self._restore_or_delete(inactive)
        # Calls that were restored are active now.
        await self._check_participants(await self._registry.active(), rooms, no_calls=no_calls)

    async def _end_calls_without_room(
        self, active: Sequence[Position], rooms: Container[str]
    ) -> None:
        if not self._availability.is_settled:
            return
        settled_before = self._clock() - SETTLING_MS
        settled = [call_id for start, call_id in active if start < settled_before]
        for call_id in self._missing_rooms.note(settled, rooms):
            await _log_failure(partial(self._end_call_without_room, call_id))

    async def _end_call_without_room(self, call_id: str) -> None:
        call = await self._registry.get(call_id)
        if call is None or call.is_transferring:  # a transferred caller has left the room
            return
        if not self._missing_rooms.is_proof(call):
            log.warning("call.room_missing", call_id=call_id)
            return
        detail = "LiveKit has no such room"
        event = Event(EventKind.ROOM_FINISHED, self._clock(), detail=detail, is_presumed=True)
        await self._lifecycle.apply(call_id, event)

    async def _restore_or_delete(self, rooms: Iterable[RoomState]) -> list[RoomState]:
        """Restore the calls of `rooms` that are not stored, and delete the rooms of ended calls.

        Returns the rooms that belong to no call of this gateway.
        """
        no_calls: list[RoomState] = []

        async def restore_or_delete(room: RoomState) -> None:
            call = await self._registry.get(room.name)
            if call:
                self._delete_leftover_room(call)
            elif not await self._restore(room.name, room.metadata, room.sid):
                no_calls.append(room)

        checks = [partial(restore_or_delete, room) for room in rooms]
        await for_each(checks, _log_failure, limit=MAX_CONCURRENT_CHECKS)
        return no_calls

    def _delete_leftover_room(self, call: Call) -> None:
        """Delete the room of a call that ended a while ago: deleting it at the end has failed."""
        if call.end_presumed:
            return  # LiveKit lists it again, and people may talk in it
        if call.end_timestamp and self._clock() - call.end_timestamp > 2 * AGENT_EXIT_GRACE_MS:
            self._room_cleanup.schedule(call.call_id, grace_ms=0)

    async def _restore(self, room: str, metadata: str, room_sid: str) -> bool:
        """Store the lost call of a room that this gateway created; returns whether it has one.

        A call that began after `registry.since()` is not lost: it was stored, ended and expired.
        One that begins later than now was stored before the clock was set back.
        """
        call = restore_call(metadata, room=room, own_url=self._own_url)
        if call is None:
            return False
        if await self._registry.since() <= call.start_timestamp <= self._clock():
            return False
        added = await self._lifecycle.register(call)
        if added.is_new:
            detail = "from the room's metadata"
            ids = {"room_sid": room_sid}
            event = Event(EventKind.RESTORED, self._clock(), ids=ids, detail=detail)
            await self._lifecycle.apply(room, event)
        elif added.call.call_id != room:
            # Jambonz has repeated the call hook meanwhile, and the caller is in the newer room.
            self._room_cleanup.schedule(room, grace_ms=0)
        return True

    async def _check_participants(
        self,
        active: Sequence[Position],
        rooms: Mapping[str, RoomState],
        *,
        no_calls: Sequence[RoomState] = (),
    ) -> None:
        """Check who is in some of the rooms of `active` calls, and in some without a call."""
        with_room = [position for position in active if position[1] in rooms]
        checks = [
            *(partial(self._check_call, call_id) for call_id in self._to_check(with_room, rooms)),
            *(
                partial(self._stray_rooms.check, room)
                for room in self._stray_rooms.unchecked(no_calls)
            ),
        ]
        await for_each(checks, _log_failure, limit=MAX_CONCURRENT_CHECKS)

    def _to_check(self, calls: Sequence[Position], rooms: Mapping[str, RoomState]) -> Sequence[str]:
        """The calls to check now: some whose caller seems to have left, then the next in turn.

        With many calls, several rounds are needed to check them all.
        """
        settled_before = self._clock() - SETTLING_MS
        empty = [
            call_id
            for start, call_id in calls
            if start < settled_before and not rooms[call_id].num_participants
        ]
        empty = empty[: MAX_ROOMS_CHECKED // 2]
        not_checked = [position for position in calls if position > self._last_checked]
        in_turn = (not_checked or calls)[: MAX_ROOMS_CHECKED - len(empty)]
        self._last_checked = in_turn[-1] if in_turn else (0, "")
        return list(dict.fromkeys([*empty, *(call_id for _, call_id in in_turn)]))

    async def _check_call(self, call_id: str) -> None:
        """Apply the events that the call missed, as far as its room's participants show them."""
        call = await self._registry.get(call_id)
        if call is None or not call.is_active or call.is_transferring:
            return
        participants = await self._livekit.room_participants(call_id)
        for event in missed_events(call, participants, self._clock()):
            call = await self._lifecycle.apply(call_id, event) or call
        await self._stray_legs.check(call, participants)


async def _log_failure(check: Callable[[], Awaitable[None]]) -> None:
    """Run `check`; an error about one call or room does not keep the others from being checked."""
    try:
        await check()
    except (LiveKitError, RecordUnreadable) as error:
        if isinstance(error, LiveKitError) and error.is_unavailable:
            raise
        log.warning("reconcile.lookup_failed", error=str(error))
