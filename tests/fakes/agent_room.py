"""The room of an agent's job: participants and their events, without a connection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc

SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP


@dataclass
class Person:
    identity: str
    kind: Any = SIP
    attributes: Mapping[str, str] = field(default_factory=dict)
    disconnect_reason: Any = None


class Room(rtc.EventEmitter[Any]):
    def __init__(self, *people: Person) -> None:
        super().__init__()
        self.remote_participants = {it.identity: it for it in people}
        self.is_connected = True

    def isconnected(self) -> bool:
        return self.is_connected

    def joins(self, person: Person) -> None:
        self.remote_participants[person.identity] = person
        self.emit("participant_connected", person)

    def leaves(self, identity: str, why: Any = rtc.DisconnectReason.CLIENT_INITIATED) -> None:
        person = self.remote_participants.pop(identity)
        person.disconnect_reason = why
        self.emit("participant_disconnected", person)

    def end(self) -> None:
        self.is_connected = False
        self.emit("disconnected", None)
