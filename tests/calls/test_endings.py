"""Calls that the agent ends: with its reason, whoever else tells first that they are over."""

from dataclasses import replace

import pytest

from gateway.calls.call import Call, CallStatus, Direction, Event, EventKind
from gateway.calls.outcomes import Transfer
from gateway.calls.participants import Participant, ParticipantKind
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.transitions import transition

START = 1_700_000_000_000
TALKING = Call(
    "call-1",
    Direction.INBOUND,
    "agent",
    START,
    call_status=CallStatus.ONGOING,
    answer_timestamp=START + 2_000,
    agent_came=True,
)
REASONS = [
    (DisconnectionReason.AGENT_HANGUP, CallStatus.ENDED),
    (DisconnectionReason.INACTIVITY, CallStatus.ENDED),
    (DisconnectionReason.MAX_DURATION_REACHED, CallStatus.ENDED),
    (DisconnectionReason.VOICEMAIL_REACHED, CallStatus.ENDED),
]


def agent_ends(reason: DisconnectionReason | None, after: int = 60_000) -> Event:
    failed = reason is DisconnectionReason.AGENT_ERROR
    kind = EventKind.AGENT_FAILED if failed else EventKind.AGENT_ENDED
    return Event(kind, START + after, reason=reason, detail="as it says")


def outcome(call: Call) -> tuple[CallStatus, DisconnectionReason | None]:
    return call.call_status, call.disconnection_reason


@pytest.mark.parametrize(("reason", "status"), REASONS)
def test_a_call_ends_as_its_agent_says(reason: DisconnectionReason, status: CallStatus) -> None:
    ended = transition(TALKING, agent_ends(reason))
    assert outcome(ended) == (status, reason)
    assert not ended.report_settled
    closed = transition(ended, Event(EventKind.ROOM_FINISHED, START + 61_000))
    assert outcome(closed) == (status, reason)


@pytest.mark.parametrize(
    ("reason", "status"),
    [*REASONS, (DisconnectionReason.AGENT_ERROR, CallStatus.ERROR)],
)
@pytest.mark.parametrize(
    "told",
    [
        Event(EventKind.ROOM_FINISHED, START + 59_000),
        Event(EventKind.ROOM_FINISHED, START + 59_000, is_presumed=True),
        Event(EventKind.CALLER_LEFT, START + 59_000, reason=DisconnectionReason.AGENT_HANGUP),
        Event(EventKind.HUNG_UP, START + 59_000, reason=DisconnectionReason.AGENT_HANGUP),
        Event(EventKind.AGENT_LEFT, START + 59_000, reason=DisconnectionReason.AGENT_HANGUP),
    ],
    ids=lambda event: f"{event.kind}{' presumed' if event.is_presumed else ''}",
)
def test_a_room_that_the_agent_closed_may_be_told_of_first(
    told: Event, reason: DisconnectionReason, status: CallStatus
) -> None:
    ended = transition(transition(TALKING, told), agent_ends(reason))
    assert outcome(ended) == (status, reason)
    assert not ended.end_presumed


def test_a_caller_who_hung_up_first_has_hung_up() -> None:
    hung_up = Event(EventKind.HUNG_UP, START + 59_000, reason=DisconnectionReason.USER_HANGUP)
    for reason in (DisconnectionReason.INACTIVITY, DisconnectionReason.AGENT_ERROR):
        ended = transition(transition(TALKING, hung_up), agent_ends(reason))
        assert outcome(ended) == (CallStatus.ENDED, DisconnectionReason.USER_HANGUP)


def test_what_an_agent_said_of_its_end_stays() -> None:
    ended = transition(TALKING, agent_ends(DisconnectionReason.AGENT_HANGUP))
    crashed = transition(ended, agent_ends(DisconnectionReason.AGENT_ERROR))
    assert outcome(crashed) == (CallStatus.ENDED, DisconnectionReason.AGENT_HANGUP)


def test_an_agent_that_gives_no_reason_ends_nothing() -> None:
    """Who leaves the room decides, as for workers that send none."""
    assert transition(TALKING, agent_ends(None)).is_active


def test_an_answer_that_was_not_told_was_given_before_a_conversation_ends() -> None:
    ringing = replace(TALKING, call_status=CallStatus.RINGING, answer_timestamp=None)
    for reason in (DisconnectionReason.VOICEMAIL_REACHED, DisconnectionReason.INACTIVITY):
        assert outcome(transition(ringing, agent_ends(reason))) == (CallStatus.ENDED, reason)
    given_up = transition(ringing, agent_ends(DisconnectionReason.AGENT_HANGUP))
    assert given_up.call_status is CallStatus.NOT_CONNECTED


def test_a_caller_who_talks_to_somebody_else_is_not_cut_off() -> None:
    colleague = Participant("sip_colleague", ParticipantKind.SIP)
    call = transition(
        replace(TALKING, participants=(colleague,)), agent_ends(DisconnectionReason.AGENT_HANGUP)
    )
    assert call.is_active
    assert call.agent_absence


def test_a_caller_who_is_being_transferred_does_not_need_the_agent_any_more() -> None:
    transfer = Transfer("+61491570156", START)
    leaving = transition(
        TALKING, Event(EventKind.TRANSFER_STARTED, START + 3_000, transfer=transfer)
    )
    assert transition(leaving, agent_ends(DisconnectionReason.AGENT_HANGUP)).is_active


def test_the_report_comes_after_the_end() -> None:
    ended = transition(TALKING, agent_ends(DisconnectionReason.INACTIVITY))
    report = {"call_analysis": {"call_successful": False}}
    reported = transition(ended, Event(EventKind.AGENT_REPORT, START + 70_000, report=report))
    assert (reported.report, reported.report_settled) == (report, True)


def test_a_report_without_a_conversation_does_not_replace_one_with_it() -> None:
    """LiveKit may start another agent while the room goes, which has nothing to tell."""
    empty: dict[str, object] = {"transcript": [], "errors": []}
    real: dict[str, object] = {"transcript": [{"text": "Hello."}]}
    another: dict[str, object] = {"transcript": [{"text": "I take over."}]}
    call = transition(TALKING, agent_ends(DisconnectionReason.AGENT_ERROR))
    for report, expected in ((empty, empty), (real, real), (empty, real), (another, another)):
        call = transition(call, Event(EventKind.AGENT_REPORT, START + 70_000, report=report))
        assert call.report == expected
