"""Rooms that a stranger's INVITE made: deleted, and counted.

Where LiveKit makes rooms by itself (`room.auto_create`), whoever reaches its SIP port gets one by
the dispatch rule that `setup` made. Only what came by that rule is judged: rooms of other
applications in the same LiveKit project are none of ours.
"""

from collections import OrderedDict
from collections.abc import Callable

import structlog

from gateway.diagnostics import Seen
from gateway.livekit.client import LiveKit, RoomState
from gateway.livekit.trunks import Kind, Trunks
from gateway.metadata import is_ours
from gateway.sweeper import Sweeper

log = structlog.get_logger()

#: How long the rules that were found are taken to be all there are, in ms.
FOUND_FOR = 60_000
#: Rooms of others that are remembered, so that each is looked into only once.
REMEMBERED = 10_000


class Uninvited:
    """Raises LiveKitRefused, LiveKitUnreachable. `clock` in ms since epoch."""

    def __init__(
        self,
        livekit: LiveKit,
        trunks: Trunks,
        sweeper: Sweeper,
        seen: Seen,
        clock: Callable[[], int],
    ) -> None:
        self._livekit = livekit
        self._trunks = trunks
        self._sweeper = sweeper
        self._seen = seen
        self._clock = clock
        self._rules: frozenset[str] = frozenset()
        self._found_at = 0
        self._others: OrderedDict[str, None] = OrderedDict()

    async def look_at(self, room: RoomState) -> None:
        """A room that no call is known for."""
        if room.sid in self._others or is_ours(room.metadata):
            return
        there = await self._livekit.presence(room.name)
        if there.leg is None or not await self.check(room.name, room.metadata, there.rule_id):
            self._others[room.sid] = None
            if len(self._others) > REMEMBERED:
                self._others.popitem(last=False)

    async def check(self, room: str, metadata: str, rule_id: str) -> bool:
        """Somebody came into a room without a call by this dispatch rule; whether it goes."""
        if is_ours(metadata) or not rule_id or rule_id not in await self._our_rules():
            return False
        self._sweeper.doom(room, grace_ms=0)
        self._seen.uninvited(self._clock())
        log.warning("room.uninvited", room=room, rule_id=rule_id)
        await self._sweeper.sweep()
        return True

    async def _our_rules(self) -> frozenset[str]:
        if self._clock() - self._found_at > FOUND_FOR:
            listed = await self._trunks.of_kind(Kind.DISPATCH_RULE)
            self._rules = frozenset(item.id for item in listed if item.is_ours)
            self._found_at = self._clock()
        return self._rules
