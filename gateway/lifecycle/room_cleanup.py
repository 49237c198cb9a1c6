"""Rooms that are to go: deleted when due, tried again while LiveKit is away."""

from collections.abc import Callable

import structlog

from gateway.aio import for_each
from gateway.errors import LiveKitError
from gateway.livekit.client import LiveKit

log = structlog.get_logger()

#: How long a deletion is tried, in ms; LiveKit's own time-outs have emptied the room by then.
GIVE_UP_AFTER = 300_000
AT_ONCE = 16


class RoomCleanup:
    """Deletes rooms of ended calls: no caller is left in silence, no agent waits in vain."""

    def __init__(self, livekit: LiveKit, clock: Callable[[], int]) -> None:
        self._livekit = livekit
        self._clock = clock
        self._due: dict[str, int] = {}

    def schedule(self, room: str, *, grace_ms: int) -> None:
        """Delete `room` after `grace_ms`, unless it was to go even sooner."""
        due = self._clock() + grace_ms
        self._due[room] = min(due, self._due.get(room, due))

    async def delete_due(self) -> None:
        """Delete what is due; what LiveKit does not take now stays for the next time."""
        now = self._clock()
        due = [room for room, moment in self._due.items() if moment <= now]
        try:
            await for_each(due, self._delete, limit=AT_ONCE)
        except LiveKitError:
            return  # the others would only wait for the same deadline

    async def _delete(self, room: str) -> None:
        due = self._due.get(room)
        if due is None:
            return  # gone meanwhile, by another sweep
        try:
            await self._livekit.delete_room(room)
        except LiveKitError as error:
            if self._clock() - due < GIVE_UP_AFTER:
                log.warning("room.delete_failed", call_id=room, error=str(error))
                if error.is_unavailable:
                    raise
                return
            log.error("room.delete_given_up", call_id=room, error=str(error))
        self._due.pop(room, None)
