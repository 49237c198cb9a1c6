"""Rooms that unsolicited INVITEs created: they are deleted, and counted.

Where LiveKit creates rooms by itself (`room.auto_create`), everyone who reaches its SIP port gets a
room by the dispatch rule that `setup` created. Only callers who came by that rule are removed:
other applications in the same LiveKit project have rooms, rules and callers of their own.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import structlog

from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import is_gateway_room
from gateway.livekit.rooms import RoomParticipant, RoomParticipants, RoomState
from gateway.monitor.diagnostics import Counters
from gateway.monitor.dispatch_rules import DispatchRules

log = structlog.get_logger()

#: A room without a SIP leg is not checked again once it has been known so long, in ms.
MAX_TIME_WITHOUT_LEG = 10_000
#: How many checked rooms are remembered, so that each is checked, and counted, once.
MAX_REMEMBERED = 10_000
#: How many rooms are checked at most each time that rooms are reconciled.
MAX_ROOMS_CHECKED = 200


class StrayRooms:
    """Checks rooms without a call. Raises LiveKitError. `clock` in ms since epoch."""

    def __init__(
        self,
        livekit: LiveKit,
        rules: DispatchRules,
        room_cleanup: RoomCleanup,
        counters: Counters,
        clock: Callable[[], int],
    ) -> None:
        self._livekit = livekit
        self._rules = rules
        self._room_cleanup = room_cleanup
        self._counters = counters
        self._clock = clock
        self._first_seen = _RecentNames()
        self._checked = _RecentNames()
        self._counted = _RecentNames()

    def unchecked(self, rooms: Iterable[RoomState]) -> Sequence[RoomState]:
        """The first MAX_ROOMS_CHECKED of `rooms`, which have no call, that are still to check."""
        new = [r for r in rooms if r.sid not in self._checked and not is_gateway_room(r.metadata)]
        for room in new:
            self._first_seen.add(room.sid, self._clock())
        return new[:MAX_ROOMS_CHECKED]

    async def check(self, room: RoomState) -> None:
        """Remove the unsolicited callers of a room that has no call."""
        participants = await self._livekit.room_participants(room.name)
        unsolicited = [leg for leg in participants.sip if await self._rules.is_ours(leg.rule_id)]
        if unsolicited:
            await self._remove(room, participants, unsolicited)
        elif participants.sip or self._known_for(room) > MAX_TIME_WITHOUT_LEG:
            self._checked.add(room.sid, self._clock())

    async def on_caller_joined(self, room: str, rule_id: str) -> None:
        """A SIP leg joined a room without a call, by this dispatch rule."""
        if not await self._rules.is_ours(rule_id):
            return
        # Webhooks may leave out the metadata that shows whose room it is.
        for state in await self._livekit.rooms(room):
            if not is_gateway_room(state.metadata):
                await self.check(state)

    async def _remove(
        self,
        room: RoomState,
        participants: RoomParticipants,
        unsolicited: Sequence[RoomParticipant],
    ) -> None:
        """Delete the room. If others are in it, it is theirs: then remove only the callers."""
        if room.sid not in self._counted:  # else an earlier attempt to remove them failed
            self._counted.add(room.sid, self._clock())
            self._counters.stray_room(self._clock())
            log.warning("room.stray_deleted", room=room.name, rule_id=unsolicited[0].rule_id)
        people = sum(it.kind.is_person for it in participants.everybody)
        if len(unsolicited) < people:
            for leg in unsolicited:
                await self._livekit.remove_participant(room.name, leg.identity)
        else:
            self._room_cleanup.schedule(room.name, grace_ms=0)
            await self._room_cleanup.delete_due()

    def _known_for(self, room: RoomState) -> int:
        """In ms, by the gateway's clock alone: LiveKit's, which dates the room, may differ."""
        return self._clock() - self._first_seen.add(room.sid, self._clock())


class _RecentNames:
    """The MAX_REMEMBERED names that were added last, each with the time when it was added."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, int] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str, now: int) -> int:
        """When `name` was added for the first time: `now`, unless it was there before."""
        added_at = self._names.setdefault(name, now)
        if len(self._names) > MAX_REMEMBERED:
            self._names.popitem(last=False)
        return added_at
