"""LiveKit's participants as plain values: each kind, and each reason why one leaves, in one table.

A kind or a reason that a newer LiveKit adds gets the answer of UNKNOWN_KIND or of UNKNOWN_REASON.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from livekit.protocol.models import DisconnectReason, ParticipantInfo

from gateway.calls.call import EventKind
from gateway.calls.participants import Participant, ParticipantKind
from gateway.calls.reasons import DisconnectionReason

KINDS: Mapping[int, ParticipantKind] = {
    ParticipantInfo.Kind.STANDARD: ParticipantKind.STANDARD,
    ParticipantInfo.Kind.INGRESS: ParticipantKind.INGRESS,
    ParticipantInfo.Kind.EGRESS: ParticipantKind.EGRESS,
    ParticipantInfo.Kind.SIP: ParticipantKind.SIP,
    ParticipantInfo.Kind.AGENT: ParticipantKind.AGENT,
    ParticipantInfo.Kind.CONNECTOR: ParticipantKind.CONNECTOR,
    ParticipantInfo.Kind.BRIDGE: ParticipantKind.BRIDGE,
}
#: Which event it is that one of this kind joins or leaves; calls/attribution.py tells whether a SIP
#: leg is the caller's.
_JOINING: Mapping[ParticipantKind, EventKind] = {
    ParticipantKind.SIP: EventKind.CALLER_JOINED,
    ParticipantKind.AGENT: EventKind.AGENT_JOINED,
}
_LEAVING: Mapping[ParticipantKind, EventKind] = {
    ParticipantKind.SIP: EventKind.CALLER_LEFT,
    ParticipantKind.AGENT: EventKind.AGENT_LEFT,
}
#: A person: to end a conversation too late is better than to cut it off.
UNKNOWN_KIND = ParticipantKind.STANDARD


@dataclass(frozen=True, slots=True)
class Departure:
    """What it says about a call that its caller, or its agent, left for one of LiveKit's reasons.

    `may_return`: the participant may be in the room again, or still, so LiveKit's list decides.
    """

    caller: DisconnectionReason
    agent: DisconnectionReason
    may_return: bool = False


_HUNG_UP = Departure(DisconnectionReason.USER_HANGUP, DisconnectionReason.AGENT_HANGUP)
#: The agent or the gateway has deleted the room or removed the participant.
_REMOVED = Departure(DisconnectionReason.AGENT_HANGUP, DisconnectionReason.AGENT_HANGUP)
_LOST = Departure(
    DisconnectionReason.CONNECTION_LOST, DisconnectionReason.AGENT_ERROR, may_return=True
)
#: livekit-sip's outcome of a leg that it dialed.
_NO_ANSWER = Departure(DisconnectionReason.DIAL_NO_ANSWER, DisconnectionReason.AGENT_ERROR)
_DECLINED = Departure(DisconnectionReason.USER_DECLINED, DisconnectionReason.AGENT_ERROR)
_TRUNK_FAILED = Departure(
    DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE, DisconnectionReason.AGENT_ERROR
)
_AGENT_FAILED = Departure(DisconnectionReason.AGENT_ERROR, DisconnectionReason.AGENT_ERROR)

DEPARTURES: Mapping[int, Departure] = {
    DisconnectReason.UNKNOWN_REASON: _LOST,  # livekit-sip 1.10: it dropped the leg
    DisconnectReason.CLIENT_INITIATED: _HUNG_UP,
    DisconnectReason.DUPLICATE_IDENTITY: _LOST,  # replaced by another one of that identity
    DisconnectReason.SERVER_SHUTDOWN: _LOST,
    DisconnectReason.PARTICIPANT_REMOVED: _REMOVED,
    DisconnectReason.ROOM_DELETED: _REMOVED,
    DisconnectReason.STATE_MISMATCH: _LOST,
    DisconnectReason.JOIN_FAILURE: _LOST,
    DisconnectReason.MIGRATION: _LOST,
    DisconnectReason.SIGNAL_CLOSE: _LOST,
    DisconnectReason.ROOM_CLOSED: _REMOVED,
    DisconnectReason.USER_UNAVAILABLE: _NO_ANSWER,
    DisconnectReason.USER_REJECTED: _DECLINED,
    DisconnectReason.SIP_TRUNK_FAILURE: _TRUNK_FAILED,
    DisconnectReason.CONNECTION_TIMEOUT: _LOST,
    DisconnectReason.MEDIA_FAILURE: _LOST,
    DisconnectReason.AGENT_ERROR: _AGENT_FAILED,
}
UNKNOWN_REASON = _LOST

_REASON_NAMES = {number: name for name, number in DisconnectReason.items()}


def participant_of(info: ParticipantInfo) -> Participant:
    return Participant(
        identity=info.identity,
        kind=KINDS.get(info.kind, UNKNOWN_KIND),
        joined_at=info.joined_at_ms or info.joined_at * 1000 or None,
        number=info.attributes.get("sip.phoneNumber", ""),
        sip_call_id=info.attributes.get("sip.callID", ""),
        rule_id=info.attributes.get("sip.ruleID", ""),
    )


def joining(kind: ParticipantKind) -> EventKind:
    return _JOINING.get(kind, EventKind.PARTICIPANT_JOINED)


def leaving(kind: ParticipantKind) -> EventKind:
    return _LEAVING.get(kind, EventKind.PARTICIPANT_LEFT)


def departure_of(info: ParticipantInfo) -> Departure:
    return DEPARTURES.get(info.disconnect_reason, UNKNOWN_REASON)


def departure_detail(info: ParticipantInfo) -> str:
    """Who left and why, for the timeline."""
    why = info.disconnect_reason
    return f"{info.identity}: {_REASON_NAMES.get(why, why)}"
