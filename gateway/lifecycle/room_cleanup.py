"""Deletes the LiveKit rooms of ended calls, and retries while LiveKit is unavailable."""

from collections.abc import Callable

import structlog

from gateway.aio import for_each
from gateway.errors import LiveKitError
from gateway.livekit.client import LiveKit

log = structlog.get_logger()

#: How long a deletion is retried, in ms; by then LiveKit's own timeouts have emptied the room.
GIVE_UP_AFTER = 300_000
MAX_CONCURRENT_DELETIONS = 16


class RoomCleanup:
    """Rooms to delete, with the time (`clock`, in ms from any moment) at which each is due.

    Without its room a caller who is still connected hears the call end, and the agent's job ends.
    """

    def __init__(self, livekit: LiveKit, clock: Callable[[], int]) -> None:
        self._livekit = livekit
        self._clock = clock
        self._due: dict[str, int] = {}
        self._in_progress: set[str] = set()

    def schedule(self, room: str, *, grace_ms: int) -> None:
        """Delete `room` after `grace_ms`, or earlier if it is scheduled already."""
        due = self._clock() + grace_ms
        self._due[room] = min(due, self._due.get(room, due))

    async def delete_due(self) -> None:
        """Delete the rooms that are due; those that LiveKit cannot delete now stay scheduled."""
        now = self._clock()
        due = [room for room, due_at in self._due.items() if due_at <= now]
        try:
            await for_each(due, self._delete, limit=MAX_CONCURRENT_DELETIONS)
        except LiveKitError:
            return  # logged; the other requests would only time out too

    async def _delete(self, room: str) -> None:
        due = self._due.get(room)
        if due is None or room in self._in_progress:
            return  # by a concurrent `delete_due()`
        self._in_progress.add(room)
        try:
            await self._livekit.delete_room(room)
        except LiveKitError as error:
            if self._clock() - due < GIVE_UP_AFTER:
                log.warning("room.delete_failed", call_id=room, error=str(error))
                if error.is_unavailable:
                    raise
                return
            log.error("room.delete_given_up", call_id=room, error=str(error))
        finally:
            self._in_progress.discard(room)
        self._due.pop(room, None)
