"""Strangers' INVITEs: the rooms that they made are deleted, and counted.

Where LiveKit makes rooms by itself (`room.auto_create`), whoever reaches its SIP port gets one by
the dispatch rule that `setup` made. Only what came by that rule is judged: other applications in
the same LiveKit project have rooms, rules and callers of their own.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import is_ours
from gateway.livekit.rooms import Leg, RoomParticipants, RoomState
from gateway.livekit.trunks import Kind, Trunks
from gateway.monitor.diagnostics import Counters

log = structlog.get_logger()

#: How long the rules that were found are taken to be all there are, in ms.
FOUND_FOR = 60_000
#: How long a room may be empty before it is taken for one that no telephone will come to, in ms.
EMPTY_FOR = 10_000
#: Rooms that are remembered, so that each is looked into, and counted, only once.
REMEMBERED = 10_000
#: How many rooms are looked into at a comparison.
LOOKED_INTO = 200


class StrayRooms:
    """Raises LiveKitRefused, LiveKitUnreachable. `clock` in ms since epoch."""

    def __init__(
        self,
        livekit: LiveKit,
        trunks: Trunks,
        room_cleanup: RoomCleanup,
        counters: Counters,
        clock: Callable[[], int],
    ) -> None:
        self._livekit = livekit
        self._trunks = trunks
        self._room_cleanup = room_cleanup
        self._counters = counters
        self._clock = clock
        self._rules: Mapping[str, bool] = {}
        self._found_at = 0
        self._done_with = _Remembered()
        self._turned_away = _Remembered()

    def unseen(self, rooms: Iterable[RoomState]) -> Sequence[RoomState]:
        """Those of `rooms` without a call that are still to be looked at, a bounded number."""
        new = [r for r in rooms if r.sid not in self._done_with and not is_ours(r.metadata)]
        return new[:LOOKED_INTO]

    async def look_at(self, room: RoomState) -> None:
        """A room that no call is known for."""
        there = await self._livekit.room_participants(room.name)
        strangers = await self._strangers(there)
        if strangers:
            await self._turn_away(room, there, strangers)
        elif there.legs or self._clock() - room.created_at > EMPTY_FOR:
            self._done_with.add(room.sid)

    async def came(self, room: str, rule_id: str) -> None:
        """A telephone has come by this dispatch rule into a room that no call is known for."""
        if not await self._leads_here(rule_id):
            return
        # Webhooks may leave out the metadata that tells whose room it is.
        for state in await self._livekit.rooms(room):
            if not is_ours(state.metadata):
                await self.look_at(state)

    async def _turn_away(
        self, room: RoomState, there: RoomParticipants, strangers: Sequence[Leg]
    ) -> None:
        """A room with others in it is theirs: the strangers have only guessed its name."""
        if room.sid not in self._turned_away:  # else LiveKit did not do it the last time
            self._turned_away.add(room.sid)
            self._counters.stray_room(self._clock())
            log.warning("room.stray_deleted", room=room.name, rule_id=strangers[0].rule_id)
        if there.has_guests or len(strangers) < len(there.legs):
            for leg in strangers:
                await self._livekit.remove_participant(room.name, leg.identity)
        else:
            self._room_cleanup.schedule(room.name, grace_ms=0)
            await self._room_cleanup.delete_due()

    async def _strangers(self, there: RoomParticipants) -> Sequence[Leg]:
        return [leg for leg in there.legs if await self._leads_here(leg.rule_id)]

    async def _leads_here(self, rule_id: str) -> bool:
        """Whether that dispatch rule is one of ours."""
        if not rule_id:
            return False
        if rule_id not in self._rules or self._clock() - self._found_at > FOUND_FOR:
            listed = await self._trunks.of_kind(Kind.DISPATCH_RULE)
            self._rules = {item.id: item.is_ours for item in listed}
            self._found_at = self._clock()
        return self._rules.get(rule_id, False)


class _Remembered:
    """The newest REMEMBERED names that were added."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        self._names[name] = None
        if len(self._names) > REMEMBERED:
            self._names.popitem(last=False)
