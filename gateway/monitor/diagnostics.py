"""Counters of this process since its start, for `GET /livekit-api/diagnostics` and `doctor`."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Of how many rooms that webhooks were about the names are stored.
MAX_ROOMS = 50


@dataclass
class Counters:
    """Counts, and timestamps in ms since epoch."""

    webhooks: int = 0
    last_webhook_at: int | None = None
    rooms: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_ROOMS))
    call_hooks: int = 0
    status_hooks: int = 0
    last_status_hook_at: int | None = None
    legacy_calls: int = 0
    last_legacy_call_at: int | None = None
    stray_rooms: int = 0
    last_stray_room_at: int | None = None
    stray_legs: int = 0
    last_stray_leg_at: int | None = None

    def webhook(self, room: str, at: int) -> None:
        """Count a LiveKit webhook; `room` is "" if it is not about a room."""
        self.webhooks += 1
        self.last_webhook_at = at
        if room and room not in self.rooms:
            self.rooms.append(room)

    def call_hook(self) -> None:
        """Count a call hook of Jambonz's."""
        self.call_hooks += 1

    def status_hook(self, at: int) -> None:
        """Count a call status hook of Jambonz's."""
        self.status_hooks += 1
        self.last_status_hook_at = at

    def legacy_call(self, at: int) -> None:
        """Count a call to the legacy endpoint."""
        self.legacy_calls += 1
        self.last_legacy_call_at = at

    def stray_room(self, at: int) -> None:
        """Count a room that an unsolicited INVITE created."""
        self.stray_rooms += 1
        self.last_stray_room_at = at

    def stray_leg(self, at: int) -> None:
        """Count a leg that an unsolicited INVITE brought into a call's room."""
        self.stray_legs += 1
        self.last_stray_leg_at = at

    def view(self) -> Mapping[str, object]:
        """The counters as JSON."""
        return {
            "livekit_webhooks": {
                "received": self.webhooks,
                "last_received_at": self.last_webhook_at,
                "rooms": list(self.rooms),
            },
            "call_hooks": self.call_hooks,
            "status_hooks": {"count": self.status_hooks, "last_at": self.last_status_hook_at},
            "legacy_calls": {"count": self.legacy_calls, "last_at": self.last_legacy_call_at},
            "stray_rooms": {
                "count": self.stray_rooms,
                "last_at": self.last_stray_room_at,
            },
            "stray_legs": {"count": self.stray_legs, "last_at": self.last_stray_leg_at},
        }
