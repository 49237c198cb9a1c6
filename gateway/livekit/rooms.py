"""Rooms at LiveKit and their participants, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from livekit.protocol.models import ParticipantInfo, Room


@dataclass(frozen=True, slots=True)
class RoomRequest:
    """A room to create, and the agent to dispatch to it if one is named.

    `metadata` is the room's, `job_metadata` the agent's. LiveKit deletes a room that no
    participant has joined after `empty_timeout` s.
    """

    name: str
    metadata: str
    empty_timeout: int
    agent_name: str = ""
    job_metadata: str = ""


@dataclass(frozen=True, slots=True)
class RoomState:
    """A room that exists. `created_at` in ms since epoch.

    `num_participants` is LiveKit's count, which leaves out agents and recorders.
    """

    name: str
    sid: str
    metadata: str
    created_at: int
    num_participants: int

    @classmethod
    def of(cls, room: Room) -> Self:
        return cls(
            room.name,
            room.sid,
            room.metadata,
            room.creation_time_ms or room.creation_time * 1000,
            room.num_participants,
        )


@dataclass(frozen=True, slots=True)
class SipParticipant:
    """A SIP call's participant in a room. `joined_at` in ms since epoch.

    `status` is its attribute `sip.callStatus` (dialing, ringing, active, …). `rule_id` names the
    dispatch rule of an inbound call; it is "" where the participant was dialed.
    """

    identity: str
    status: str
    rule_id: str
    joined_at: int

    @classmethod
    def of(cls, participant: ParticipantInfo) -> Self:
        return cls(
            participant.identity,
            participant.attributes.get("sip.callStatus", ""),
            participant.attributes.get("sip.ruleID", ""),
            participant.joined_at_ms or participant.joined_at * 1000,
        )


@dataclass(frozen=True, slots=True)
class RoomParticipants:
    """A room's participants by LiveKit's kinds. Kind STANDARD has, for example, a browser."""

    sip: tuple[SipParticipant, ...] = ()
    has_agent: bool = False
    has_standard: bool = False

    @classmethod
    def of(cls, participants: Sequence[ParticipantInfo]) -> Self:
        kinds = {participant.kind for participant in participants}
        return cls(
            sip=tuple(
                SipParticipant.of(participant)
                for participant in participants
                if participant.kind == ParticipantInfo.Kind.SIP
            ),
            has_agent=ParticipantInfo.Kind.AGENT in kinds,
            has_standard=ParticipantInfo.Kind.STANDARD in kinds,
        )

    @property
    def answered(self) -> SipParticipant | None:
        """A SIP participant whose call is answered, if there is one."""
        return next((sip for sip in self.sip if sip.status == "active"), None)
