"""Was there a conversation? As the report of a call and its worker tell, in the call's JSON."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.calls.call import Call, CallStatus, Direction, Event, EventKind
from gateway.calls.conversation import Conversation, ConversationProblem, conversation_of
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.silences import AgentSilence
from gateway.calls.transitions import transition
from gateway.calls.views import summary

START = 1_700_000_000_000
ANSWER = START + 2_000
GOOD: dict[str, Any] = {
    "pipeline": "voice",
    "transcript": [
        {"at": ANSWER + 400, "role": "agent", "text": "Hello"},
        {"at": ANSWER + 4_000, "role": "user", "text": "hello"},
    ],
    "turns": [
        {"at": ANSWER + 5_000 * n, "latency_ms": ms} for n, ms in enumerate((700, 900, 2_600))
    ],
    "unanswered": [],
    "first_audio_ms": 420,
    "longest_silence_ms": 2_600,
    "stalls": [],
    "mute": [],
    "packets": {
        "from_caller": {"received": 2_000, "lost": 20},
        "to_caller": {"received": 2_000, "lost": 0},
    },
}
#: A call whose agent has reported nothing yet.
ONGOING = Call(
    "call-1",
    Direction.INBOUND,
    "agent",
    START,
    call_status=CallStatus.ONGOING,
    answer_timestamp=ANSWER,
)


def ended(*, lasted: int = 60_000, **report: Any) -> Call:
    """A call of `lasted` ms whose report is a good one but for `report`."""
    return replace(
        ONGOING,
        call_status=CallStatus.ENDED,
        end_timestamp=ANSWER + lasted,
        disconnection_reason=DisconnectionReason.USER_HANGUP,
        report={**GOOD, **report},
    )


def of(call: Call) -> Conversation:
    known = conversation_of(call)
    assert known is not None
    return known


def test_a_good_conversation_has_no_problem_and_its_numbers() -> None:
    assert summary(ended())["conversation"] == {
        "verdict": None,
        "problems": [],
        "first_audio_ms": 420,
        "longest_silence_ms": 2_600,
        "unanswered": 0,
        "turns": {"count": 3, "p50_ms": 900, "max_ms": 2_600, "slow": 1},
        "packets": GOOD["packets"],
    }


def test_nothing_is_known_before_the_answer_and_before_anything_is_told() -> None:
    assert conversation_of(ONGOING) is None
    assert conversation_of(replace(ended(), answer_timestamp=None)) is None


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        ({"first_audio_ms": None}, "no_conversation"),
        ({"stalls": [{"at": ANSWER + 9_000, "duration_ms": 8_000}]}, "silent_agent"),
        ({"longest_silence_ms": 5_000}, "silent_agent"),
        ({"first_audio_ms": 3_000}, "slow_first_word"),
        ({"unanswered": [{"at": ANSWER + 9_000, "duration_ms": 2_100}]}, "unanswered_speech"),
        ({"turns": [{"at": ANSWER, "latency_ms": 2_000}]}, "slow_turns"),
        ({"packets": {"to_caller": {"received": 95, "lost": 5}}}, "lost_packets"),
        ({"transcript": [{"at": ANSWER, "role": "agent", "text": "Hello"}]}, "silent_caller"),
    ],
)
def test_each_problem_has_its_name(report: dict[str, Any], problem: str) -> None:
    known = of(ended(**report))
    assert known.problems == (problem,)
    assert known.verdict == problem


def test_the_verdict_is_the_worst_of_several_problems() -> None:
    known = of(ended(first_audio_ms=9_000, longest_silence_ms=9_000))
    assert known.verdict is ConversationProblem.SILENT_AGENT
    assert known.problems == ("silent_agent", "slow_first_word")


def test_a_silence_that_the_worker_sees_counts_while_the_call_goes_on() -> None:
    silence = AgentSilence(ANSWER + 1_000, 5_200)
    call = transition(ONGOING, Event(EventKind.AGENT_SILENT, silence.end, silence=silence))
    assert (of(call).verdict, of(call).longest_silence_ms) == ("silent_agent", 5_200)
    assert of(call).first_audio_ms is None


@pytest.mark.parametrize(
    "call",
    [
        ended(lasted=4_000, first_audio_ms=None, transcript=[]),
        replace(
            ended(first_audio_ms=None, transcript=[]),
            disconnection_reason=DisconnectionReason.VOICEMAIL_REACHED,
        ),
        ended(packets={"to_caller": {"received": 9, "lost": 9}}),
        ended(pipeline="diagnostic", transcript=[{"at": ANSWER, "role": "agent", "text": "Hi"}]),
        ended(lasted=9_000, transcript=[{"at": ANSWER, "role": "agent", "text": "Hi"}]),
    ],
    ids=["hung up at once", "voicemail", "few packets", "no recognition", "no time to answer"],
)
def test_what_proves_nothing_is_no_problem(call: Call) -> None:
    assert of(call).problems == ()


def test_an_agent_that_measures_no_first_audio_has_it_in_its_transcript() -> None:
    report = {name: value for name, value in GOOD.items() if name != "first_audio_ms"}
    assert of(replace(ended(), report=report)).first_audio_ms == 400


@pytest.mark.parametrize(
    "value", [None, "often", 5, [5, None, []], {"a": 1}, [{"at": "now"}], True]
)
def test_a_report_of_another_form_is_no_error(value: Any) -> None:
    names = ("transcript", "turns", "unanswered", "longest_silence_ms", "packets", "pipeline")
    known = of(ended(**dict.fromkeys(names, value)))
    assert (known.turns, known.from_caller, known.unanswered) == (None, None, 0)
