"""Who is in a call's room: the caller's own leg, and everybody else. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.calls.open_enum import OpenEnum

#: Of a call at most so many participants are stored: beyond, those who left first are dropped.
PARTICIPANTS_LIMIT = 32


class ParticipantKind(OpenEnum):
    """LiveKit's kinds of participants (livekit_models.proto, ParticipantInfo.Kind)."""

    STANDARD = "standard"
    INGRESS = "ingress"
    EGRESS = "egress"
    SIP = "sip"
    AGENT = "agent"
    CONNECTOR = "connector"
    BRIDGE = "bridge"

    @property
    def is_person(self) -> bool:
        """Whether a caller can talk to them without an agent."""
        return self in _PEOPLE


#: A browser or an app, a telephone, and a call by WhatsApp or Twilio. The others are software that
#: talks or records, a stream, and a camera.
_PEOPLE = frozenset({ParticipantKind.STANDARD, ParticipantKind.SIP, ParticipantKind.CONNECTOR})


@dataclass(frozen=True, slots=True)
class Leg:
    """The call's own SIP leg in its room: its participant's identity, and LiveKit's `sip.callID`.

    `sip_call_id` is "" until the leg has joined the room.
    """

    identity: str
    sip_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in a room; timestamps in ms since epoch, None where they are not known.

    A SIP participant also has the `number` at its other end, LiveKit's `sip_call_id`, and the
    dispatch rule by which it came, `rule_id`, "" if it was dialed.
    """

    identity: str
    kind: ParticipantKind
    joined_at: int | None = None
    left_at: int | None = None
    number: str = ""
    sip_call_id: str = ""
    rule_id: str = ""


def joined(
    participants: Sequence[Participant], participant: Participant
) -> tuple[Participant, ...]:
    """`participants` after `participant` has joined; one that is there already is replaced."""
    others = [it for it in participants if it.identity != participant.identity or it.left_at]
    return _bounded([*others, participant])


def left(
    participants: Sequence[Participant], participant: Participant, at: int
) -> tuple[Participant, ...]:
    """`participants` after `participant` has left at `at`, also if its joining was not noted."""
    gone = replace(participant, left_at=at)
    present = [it for it in participants if it.identity == gone.identity and not it.left_at]
    if not present:
        was_noted = any(it.identity == gone.identity for it in participants)
        return tuple(participants) if was_noted else _bounded([*participants, gone])
    return tuple(replace(it, left_at=at) if it in present else it for it in participants)


def _bounded(participants: list[Participant]) -> tuple[Participant, ...]:
    while len(participants) > PARTICIPANTS_LIMIT:
        gone = next((it for it in participants if it.left_at), participants[0])
        participants.remove(gone)
    return tuple(participants)
