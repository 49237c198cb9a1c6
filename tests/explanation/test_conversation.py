"""What an explanation says of a conversation in which something was wrong."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.calls.conversation import ConversationProblem
from gateway.calls.views import details
from gateway.explanation.conversation import IN_WORDS, NEXT_STEPS
from gateway.explanation.explain import Explanation, explain
from gateway.explanation.status import Status
from gateway.tools.doctor.explanation_text import explanation_text
from tests.calls.test_conversation import ANSWER, START, ended

SAID = [
    {"at": ANSWER + 400, "role": "agent", "text": "Hello, this is the clinic."},
    {"at": ANSWER + 4_000, "role": "user", "text": "my number is [keys]"},
    {"at": ANSWER + 6_000, "role": "tool", "name": "find_patient", "ok": False},
    {"at": ANSWER + 15_000, "role": "agent", "text": "Thank you, I have found you."},
    {"at": ANSWER + 20_000, "role": "user", "text": "goodbye"},
]
STALL = {"at": ANSWER + 6_500, "duration_ms": 8_040}


def explained(**report: Any) -> Explanation:
    call = ended(transcript=SAID, turns=[], **report)
    return explain({**details(call), "deliveries": []}, now=START + 90_000)


@pytest.mark.parametrize(
    ("report", "status", "text"),
    [
        ({"first_audio_ms": None}, Status.FAIL, "the agent was never heard"),
        ({"stalls": [STALL]}, Status.FAIL, "the agent was silent for 8.0 s"),
        ({"first_audio_ms": 4_210}, Status.WARN, "first word came 4.2 s after the answer"),
        ({"unanswered": [STALL, STALL]}, Status.WARN, "the caller spoke and got no answer, 2 x"),
        (
            {"packets": {"to_caller": {"received": 90, "lost": 10}}},
            Status.WARN,
            "lost between LiveKit and the agent: 10 % to caller",
        ),
    ],
)
def test_a_problem_is_named_as_what_it_is(report: Any, status: Status, text: str) -> None:
    explanation = explained(**report)
    assert explanation.status is status
    assert text in explanation.cause
    assert explanation.next


def test_slow_answers_are_told_by_their_latencies() -> None:
    turns = [{"at": ANSWER + n, "latency_ms": ms} for n, ms in enumerate((2_400, 6_100, 2_100))]
    call = replace(ended(transcript=SAID, turns=turns))
    explanation = explain({**details(call), "deliveries": []}, now=START + 90_000)
    assert explanation.status is Status.WARN
    assert "half of them took 2.4 s or longer, one 6.1 s" in explanation.cause


def test_every_problem_has_words_and_a_next_step() -> None:
    everything = explained(
        first_audio_ms=9_000,
        stalls=[STALL],
        unanswered=[STALL],
        packets={"to_caller": {"received": 90, "lost": 10}},
    )
    assert len(everything.next.splitlines()) == 4
    one_way = explain({**details(ended(transcript=SAID[:1])), "deliveries": []}, now=START + 90_000)
    assert "nothing that the caller said was understood" in one_way.cause
    assert set(IN_WORDS) == set(NEXT_STEPS) == {*ConversationProblem}


def test_the_transcript_is_shown_around_a_silence_with_its_keys_masked() -> None:
    text = explanation_text(explained(stalls=[STALL]))
    said = text[text.index("said") : text.index("cause")].splitlines()
    assert said == [
        "said    around what was wrong with the conversation:",
        "     6.0 s  caller: my number is [keys]",
        "     8.0 s  tool: find_patient failed",
        "     8.5 s  --- the agent was silent for 8.0 s ---",
        "    17.0 s  agent: Thank you, I have found you.",
    ]


def test_a_silence_that_is_also_a_slow_answer_is_shown_once() -> None:
    turns = [{"at": STALL["at"] - 40, "latency_ms": 8_000}, {"at": ANSWER, "latency_ms": 700}]
    call = ended(transcript=SAID, turns=turns, stalls=[STALL])
    said = explain({**details(call), "deliveries": []}, now=START + 90_000).said
    gaps = [line.text for line in said if line.text.startswith("---")]
    assert gaps == ["--- the agent was silent for 8.0 s ---"]


def test_a_good_conversation_shows_nothing_that_was_said() -> None:
    assert explained().said == ()
    assert explained().status is Status.OK


def test_what_was_said_cannot_write_to_a_terminal() -> None:
    said = [{"at": ANSWER + 7_000, "role": "user", "text": "\x1b[2J" + "x" * 5_000}]
    call = ended(transcript=said, stalls=[STALL], turns=[])
    text = explanation_text(explain({**details(call), "deliveries": []}, now=START + 90_000))
    assert "\x1b" not in text
    assert len(text) < 2_000


@pytest.mark.parametrize("transcript", [None, "x", [None, {"at": "now"}, {"text": 5}]])
def test_a_transcript_of_another_form_is_no_error(transcript: Any) -> None:
    call = ended(transcript=transcript, stalls=[STALL], turns=[])
    said = explain({**details(call), "deliveries": []}, now=START + 90_000).said
    assert [step.text for step in said] == ["--- the agent was silent for 8.0 s ---"]
