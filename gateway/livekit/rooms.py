"""Rooms at LiveKit and their participants, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from livekit.protocol.models import ParticipantInfo, Room, TrackInfo, TrackType

from gateway.calls.attribution import is_callers_leg
from gateway.calls.call import Call
from gateway.calls.participants import Participant, ParticipantKind
from gateway.livekit.participants import participant_of

#: The agents framework names an agent's participant by this prefix and its job's id.
AGENT_IDENTITY = "agent-"
#: How long LiveKit usually keeps a room after its last participant but agents has left, in s.
DEPARTURE_TIMEOUT = 10
#: The timeline detail of events that follow from who is in a room.
SEEN_IN_ROOM = "seen in the room"


@dataclass(frozen=True, slots=True)
class RoomRequest:
    """A room to create, and the agent to dispatch to it if one is named.

    `metadata` is the room's, `job_metadata` the agent's. LiveKit deletes a room that no
    participant has joined after `empty_timeout` s, and one that all but agents have left after
    `departure_timeout` s.
    """

    name: str
    metadata: str
    empty_timeout: int
    agent_name: str = ""
    job_metadata: str = ""
    departure_timeout: int = DEPARTURE_TIMEOUT


@dataclass(frozen=True, slots=True)
class RoomState:
    """A room that exists.

    `num_participants` is LiveKit's count, which leaves out agents and recorders.
    """

    name: str
    sid: str
    metadata: str
    num_participants: int

    @classmethod
    def of(cls, room: Room) -> Self:
        return cls(room.name, room.sid, room.metadata, room.num_participants)


@dataclass(frozen=True, slots=True)
class RoomParticipant:
    """A participant in a room, and its attribute `sip.callStatus` (dialing, ringing, active, …).

    `is_audible`: its audio is published and not muted.
    """

    participant: Participant
    status: str = ""
    is_audible: bool = False

    @classmethod
    def of(cls, info: ParticipantInfo) -> Self:
        status = info.attributes.get("sip.callStatus", "")
        return cls(participant_of(info), status, any(map(is_audible, info.tracks)))

    @property
    def identity(self) -> str:
        return self.participant.identity

    @property
    def kind(self) -> ParticipantKind:
        return self.participant.kind

    @property
    def rule_id(self) -> str:
        return self.participant.rule_id

    @property
    def joined_at(self) -> int:
        return self.participant.joined_at or 0

    @property
    def is_answered(self) -> bool:
        """Whether it is a telephone that was answered."""
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class RoomParticipants:
    """A room's participants as LiveKit lists them."""

    everybody: tuple[RoomParticipant, ...] = ()

    @classmethod
    def of(cls, participants: Sequence[ParticipantInfo]) -> Self:
        return cls(tuple(map(RoomParticipant.of, participants)))

    @property
    def sip(self) -> tuple[RoomParticipant, ...]:
        """The telephones, in the order in which they joined."""
        legs = (it for it in self.everybody if it.kind is ParticipantKind.SIP)
        return tuple(sorted(legs, key=lambda leg: leg.joined_at))

    def has_agent(self, *, besides_job: str = "") -> bool:
        """Whether an agent is in the room; that of `besides_job` does not count.

        LiveKit still lists an agent for about 20 s after its process has died.
        """
        ignored = f"{AGENT_IDENTITY}{besides_job}"
        return any(
            it.kind is ParticipantKind.AGENT and it.identity != ignored for it in self.everybody
        )

    def caller_leg(self, call: Call) -> RoomParticipant | None:
        """The call's own leg, if it is in the room."""
        return next((leg for leg in self.sip if is_callers_leg(call, leg.participant)), None)

    def company(self, call: Call) -> tuple[RoomParticipant, ...]:
        """Those whom the caller, if they are in the room, can talk to without an agent."""
        caller = self.caller_leg(call)
        people = (it for it in self.everybody if it.kind.is_person and it is not caller)
        return tuple(people) if caller else ()

    def find(self, identity: str) -> RoomParticipant | None:
        return next((it for it in self.everybody if it.identity == identity), None)

    @property
    def audible_agent(self) -> RoomParticipant | None:
        """An agent whose audio is in the room, if there is one."""
        agents = (it for it in self.everybody if it.kind is ParticipantKind.AGENT)
        return next((agent for agent in agents if agent.is_audible), None)


def is_audible(track: TrackInfo) -> bool:
    """Whether the track is audio that others in the room hear."""
    return track.type == TrackType.AUDIO and not track.muted


def agent_ids(identity: str) -> dict[str, str]:
    """The agent's `job_id`, see `Event.ids`, unless the agent has chosen its own identity."""
    is_usual = identity.startswith(AGENT_IDENTITY)
    return {"job_id": identity.removeprefix(AGENT_IDENTITY)} if is_usual else {}
