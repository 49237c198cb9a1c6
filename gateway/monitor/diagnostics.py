"""What this process has seen since it started: for `doctor`, and for those who are to move."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

#: How many rooms are remembered that webhooks were about.
REMEMBERED_ROOMS = 50


@dataclass
class Counters:
    """Counts, and moments in ms since epoch."""

    webhooks: int = 0
    last_webhook_at: int | None = None
    rooms: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED_ROOMS))
    legacy_calls: int = 0
    last_legacy_call_at: int | None = None
    stray_rooms: int = 0
    last_stray_room_at: int | None = None

    def webhook(self, room: str, at: int) -> None:
        """A LiveKit webhook came that was about `room`."""
        self.webhooks += 1
        self.last_webhook_at = at
        if room and room not in self.rooms:
            self.rooms.append(room)

    def legacy_call(self, at: int) -> None:
        """A call came by the old route."""
        self.legacy_calls += 1
        self.last_legacy_call_at = at

    def stray_room(self, at: int) -> None:
        """A stranger's INVITE made a room, which is deleted."""
        self.stray_rooms += 1
        self.last_stray_room_at = at

    def view(self) -> Mapping[str, object]:
        return {
            "livekit_webhooks": {
                "received": self.webhooks,
                "last_received_at": self.last_webhook_at,
                "rooms": list(self.rooms),
            },
            "legacy_calls": {"count": self.legacy_calls, "last_at": self.last_legacy_call_at},
            "stray_rooms": {
                "count": self.stray_rooms,
                "last_at": self.last_stray_room_at,
            },
        }
