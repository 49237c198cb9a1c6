"""Rooms as LiveKit has them, and who is in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from livekit.protocol.models import ParticipantInfo, Room


@dataclass(frozen=True, slots=True)
class RoomRequest:
    """A room to make, with the agent that is to be in it if one is named. `empty_timeout` in s.

    `metadata` is the room's, `job_metadata` the agent's.
    """

    name: str
    metadata: str
    empty_timeout: int
    agent_name: str = ""
    job_metadata: str = ""


@dataclass(frozen=True, slots=True)
class RoomState:
    """A room that LiveKit has; `created_at` in ms since epoch.

    `present` counts who is in it, agents and recorders left out.
    """

    name: str
    sid: str
    metadata: str
    created_at: int
    present: int

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
class Leg:
    """A telephone in a room.

    `status` is its `sip.callStatus` (dialing, ringing, active, …), `rule_id` the dispatch rule that
    brought it, "" where it was dialed; `joined_at` in ms since epoch.
    """

    identity: str
    status: str
    rule_id: str
    joined_at: int


@dataclass(frozen=True, slots=True)
class RoomParticipants:
    """Who of interest is in a room; `has_guests` where there is anybody besides legs and agents."""

    legs: tuple[Leg, ...] = ()
    has_agent: bool = False
    has_guests: bool = False

    @classmethod
    def of(cls, present: Sequence[ParticipantInfo]) -> Self:
        kinds = {who.kind for who in present}
        return cls(
            legs=tuple(_leg(who) for who in present if who.kind == ParticipantInfo.Kind.SIP),
            has_agent=ParticipantInfo.Kind.AGENT in kinds,
            has_guests=ParticipantInfo.Kind.STANDARD in kinds,
        )

    @property
    def answered(self) -> Leg | None:
        """A leg that talks, if there is one."""
        return next((leg for leg in self.legs if leg.status == "active"), None)


def _leg(who: ParticipantInfo) -> Leg:
    return Leg(
        who.identity,
        who.attributes.get("sip.callStatus", ""),
        who.attributes.get("sip.ruleID", ""),
        who.joined_at_ms or who.joined_at * 1000,
    )
