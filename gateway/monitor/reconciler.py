"""Reconciles calls with LiveKit: applies webhooks, and compares all calls with LiveKit's rooms.

Webhooks may be lost, and gateways may be killed; then a call's state is read from its room. A call
without a room has ended, a room of a call that is not stored restores the call, and a room that an
unsolicited INVITE created is deleted.
"""

from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial

import structlog

from gateway.aio import for_each
from gateway.calls.call import Call, CallStatus, Direction, DisconnectionReason, Event, EventKind
from gateway.config.settings import Config
from gateway.errors import LiveKitError, RecordUnreadable, StorageUnavailable
from gateway.lifecycle.lifecycle import AGENT_EXIT_GRACE_MS, Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import restore_call
from gateway.livekit.rooms import RoomParticipants, RoomState, SipParticipant
from gateway.livekit.webhooks import RoomEvent
from gateway.monitor.stray_rooms import StrayRooms
from gateway.storage.registry import CallRegistry, Position

log = structlog.get_logger()

#: For so long after a call began or was answered, LiveKit may not show its room or all of its
#: participants yet, in ms.
SETTLING_MS = 10_000
#: The participants of how many calls' rooms are checked each time, and how many concurrently.
MAX_ROOMS_CHECKED = 200
MAX_CONCURRENT_CHECKS = 8
#: Above this many active calls only so many of their rooms are listed each time, and all rooms only
#: once in FULL_LISTING_INTERVAL_MS.
MAX_ROOMS_LISTED = 1_000
FULL_LISTING_INTERVAL_MS = 600_000
#: Timeline details of events that were read from a room.
SEEN_IN_ROOM = "seen in the room"
NOT_IN_ROOM = "not in the room"


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
        self._last_checked: Position = (0, "")
        self._last_listed: Position = (0, "")
        self._listed_all_at = 0

    async def on_webhook(self, webhook: RoomEvent) -> None:
        """Apply a LiveKit webhook; these are delivered at least once, and in any order."""
        event = webhook.event
        if event is None or await self._lifecycle.apply(webhook.room, event):
            return
        try:
            is_call = await self._registry.get(webhook.room) or await self._restore(
                webhook.room, webhook.metadata, webhook.room_sid
            )
            if is_call:
                # If the event was deferred above it is still applied once, because it has an id.
                await self._lifecycle.apply(webhook.room, event)
            elif event.kind is EventKind.CALLER_JOINED:
                await self._stray_rooms.on_caller_joined(webhook.room, webhook.rule_id)
        except (StorageUnavailable, LiveKitError) as error:
            log.warning("reconcile.lookup_failed", call_id=webhook.room, error=str(error))

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
        await self._end_calls_without_room(active, rooms)
        active_ids = {call_id for _, call_id in active}
        inactive = [room for name, room in rooms.items() if name not in active_ids]
        no_calls = await self._restore_or_delete(inactive)
        # Calls that were restored are active now.
        await self._check_participants(await self._registry.active(), rooms, no_calls=no_calls)

    async def _end_calls_without_room(
        self, active: Sequence[Position], rooms: Container[str]
    ) -> None:
        settled_before = self._clock() - SETTLING_MS
        for start, call_id in active:
            if call_id in rooms or start >= settled_before:
                continue
            await _log_failure(partial(self._end_call_without_room, call_id))

    async def _end_call_without_room(self, call_id: str) -> None:
        call = await self._registry.get(call_id)
        if call and not call.is_transferring:  # a transferred caller has left the room
            detail = "LiveKit has no such room"
            event = Event(EventKind.ROOM_FINISHED, self._clock(), detail=detail)
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
        if call.end_timestamp and self._clock() - call.end_timestamp > 2 * AGENT_EXIT_GRACE_MS:
            self._room_cleanup.schedule(call.call_id, grace_ms=0)

    async def _restore(self, room: str, metadata: str, room_sid: str) -> bool:
        """Store the lost call of a room that this gateway created; returns whether it has one.

        A call that began after `registry.since()` is not lost: it was stored, ended and expired.
        """
        call = restore_call(metadata, room=room, own_url=self._own_url)
        if call is None or call.start_timestamp >= await self._registry.since():
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
        for event in self._missed_events(call, participants):
            await self._lifecycle.apply(call_id, event)

    def _missed_events(self, call: Call, participants: RoomParticipants) -> Iterator[Event]:
        now = self._clock()
        if participants.has_agent and not call.agent_came:
            yield Event(EventKind.AGENT_JOINED, now, detail=SEEN_IN_ROOM)
        if call.call_status is not CallStatus.ONGOING:
            if participants.answered:
                yield answered_event(call, participants.answered, now)
            elif participants.sip and call.call_status is CallStatus.REGISTERED:
                yield Event(EventKind.CALLER_JOINED, now, detail=SEEN_IN_ROOM)
        elif now - (call.answer_timestamp or call.start_timestamp) > SETTLING_MS:
            if not participants.sip:
                reason = DisconnectionReason.USER_HANGUP
                yield Event(EventKind.CALLER_LEFT, now, reason=reason, detail=NOT_IN_ROOM)
            elif not participants.has_agent and call.agent_absence is None:
                reason = DisconnectionReason.AGENT_ERROR
                yield Event(EventKind.AGENT_LEFT, now, reason=reason, detail=NOT_IN_ROOM)


def answered_event(call: Call, leg: SipParticipant, now: int) -> Event:
    """The missed answer of a call whose room has an active `leg` (`now` in ms since epoch).

    Inbound legs are answered soon after they join. Dialed legs ring in the room first, so their
    time of joining counts as the answer only if the call was restored and no better is known.
    """
    joined_when_answered = call.direction is Direction.INBOUND or call.needs_recovery
    at = min(leg.joined_at or now, now) if joined_when_answered else now
    return Event(EventKind.ANSWERED, at, detail=SEEN_IN_ROOM)


async def _log_failure(check: Callable[[], Awaitable[None]]) -> None:
    """Run `check`; an error about one call or room does not keep the others from being checked."""
    try:
        await check()
    except (LiveKitError, RecordUnreadable) as error:
        if isinstance(error, LiveKitError) and error.is_unavailable:
            raise
        log.warning("reconcile.lookup_failed", error=str(error))
