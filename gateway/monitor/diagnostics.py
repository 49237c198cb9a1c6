"""What this process has seen since it started: for `doctor`, and for those who are to move."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

#: How many rooms are remembered that webhooks were about.
REMEMBERED_ROOMS = 50


@dataclass
class Seen:
    """Counts, and moments in ms since epoch."""

    webhooks: int = 0
    last_webhook_at: int | None = None
    rooms: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED_ROOMS))
    simple_calls: int = 0
    last_simple_call_at: int | None = None
    uninvited_rooms: int = 0
    last_uninvited_at: int | None = None

    def webhook(self, room: str, at: int) -> None:
        """A LiveKit webhook came that was about `room`."""
        self.webhooks += 1
        self.last_webhook_at = at
        if room and room not in self.rooms:
            self.rooms.append(room)

    def simple_call(self, at: int) -> None:
        """A call came by the old route."""
        self.simple_calls += 1
        self.last_simple_call_at = at

    def uninvited(self, at: int) -> None:
        """A stranger's INVITE made a room, which is deleted."""
        self.uninvited_rooms += 1
        self.last_uninvited_at = at

    def view(self) -> Mapping[str, object]:
        return {
            "livekit_webhooks": {
                "received": self.webhooks,
                "last_received_at": self.last_webhook_at,
                "rooms": list(self.rooms),
            },
            "simple_calls": {"count": self.simple_calls, "last_at": self.last_simple_call_at},
            "uninvited_rooms": {"count": self.uninvited_rooms, "last_at": self.last_uninvited_at},
        }
