"""Every kind of participant and every reason to leave that LiveKit has gets a considered answer."""

import pytest
from livekit.protocol.models import DisconnectReason, ParticipantInfo

from gateway.calls.participants import ParticipantKind
from gateway.livekit.participants import DEPARTURES, KINDS, departure_of, participant_of


@pytest.mark.field("A1", "A2")
def test_every_kind_of_livekits_is_known() -> None:
    """A kind that a newer protocol adds fails here: is it a person?"""
    assert KINDS.keys() == set(ParticipantInfo.Kind.values())
    assert {kind.name for kind in KINDS.values()} == set(ParticipantInfo.Kind.keys())
    people = {kind for kind in ParticipantKind if kind.is_person}
    assert people == {ParticipantKind.STANDARD, ParticipantKind.SIP, ParticipantKind.CONNECTOR}


@pytest.mark.field("A4", "A8")
def test_every_reason_of_livekits_is_known() -> None:
    """A reason that a newer protocol adds fails here: what does it say about the call?"""
    assert DEPARTURES.keys() == set(DisconnectReason.values())


def test_a_kind_and_a_reason_of_a_newer_livekit() -> None:
    info = ParticipantInfo(identity="new", kind=99, disconnect_reason=99)  # type: ignore[arg-type]
    assert participant_of(info).kind is ParticipantKind.STANDARD
    assert departure_of(info).may_return
