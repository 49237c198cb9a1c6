"""Rooms that are to go: deleted when due, tried again while LiveKit is away."""

from collections.abc import Callable

import structlog

from gateway.errors import LiveKitError, LiveKitUnreachable
from gateway.livekit.client import LiveKit

log = structlog.get_logger()

#: How long a deletion is tried, in ms; LiveKit's own time-outs have emptied the room by then.
GIVE_UP_AFTER = 300_000


class Sweeper:
    """Deletes rooms of ended calls: no caller is left in silence, no agent waits in vain."""

    def __init__(self, livekit: LiveKit, clock: Callable[[], int]) -> None:
        self._livekit = livekit
        self._clock = clock
        self._due: dict[str, int] = {}

    def doom(self, room: str, *, grace_ms: int) -> None:
        """Delete `room` after `grace_ms`, unless it was to go even sooner."""
        due = self._clock() + grace_ms
        self._due[room] = min(due, self._due.get(room, due))

    async def sweep(self) -> None:
        """Delete what is due; what LiveKit does not take now stays for the next time."""
        now = self._clock()
        for room, due in [item for item in self._due.items() if item[1] <= now]:
            try:
                await self._livekit.delete_room(room)
            except LiveKitError as error:
                if now - due < GIVE_UP_AFTER:
                    log.warning("room.delete_failed", call_id=room, error=str(error))
                    if isinstance(error, LiveKitUnreachable):
                        return  # the next one would only wait for the same deadline
                    continue
                log.error("room.abandoned", call_id=room, error=str(error))
            self._due.pop(room, None)
