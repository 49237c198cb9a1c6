"""A call's time to scale: every place is a share of the time from the hook to the end."""

from typing import Any

from gateway.web.chart import Bar, Chart, Lane, chart_of
from gateway.web.transcript import Line, transcript_of

START = 1_800_000_000_000


def call(
    *timeline: tuple[float, str], lasted: float | None = 100.0, **fields: Any
) -> dict[str, Any]:
    """A call of `lasted` s with these events, each so many s after its start."""
    return {
        "start_timestamp": START,
        "answer_timestamp": None,
        "end_timestamp": None if lasted is None else START + round(lasted * 1000),
        "timeline": [{"at": START + round(at * 1000), "event": event} for at, event in timeline],
        "participants": [],
        "agent_silences": [],
        "report": None,
        **fields,
    }


def chart(content: dict[str, Any], *lines: Line, now: float = 100.0) -> Chart:
    return chart_of(content, lines, now=START + round(now * 1000))


def lane(drawn: Chart, name: str) -> Lane:
    return next(it for it in drawn.lanes if it.name == name)


def place(bar: Bar) -> tuple[float, float]:
    return bar.x, round(bar.x + bar.width, 3)


def test_the_telephone_waits_and_talks() -> None:
    drawn = chart(call(answer_timestamp=START + 20_000))
    bars = lane(drawn, "Caller's telephone").bars
    assert [(bar.kind, *place(bar)) for bar in bars] == [
        ("waiting", 0.0, 20.0),
        ("talking", 20.0, 100.0),
    ]
    assert [(mark.kind, mark.x) for mark in drawn.marks] == [("answer", 20.0)]


def test_who_leaves_and_comes_back_has_two_bars() -> None:
    events = (10, "agent_joined"), (40, "agent_left"), (50, "agent_joined"), (60, "agent_gone")
    bars = lane(chart(call(*events)), "Agent in the room").bars
    assert [place(bar) for bar in bars] == [(10.0, 40.0), (50.0, 60.0)]


def test_of_a_live_call_the_end_is_now() -> None:
    drawn = chart(call((25, "agent_joined"), lasted=None), now=50)
    assert place(lane(drawn, "Agent in the room").bars[0]) == (50.0, 100.0)
    assert drawn.length_ms == 50_000


def test_who_spoke_when() -> None:
    said = Line(START + 10_000, START + 14_000, "user", "Hello?")
    answered = Line(START + 15_000, START + 19_000, "agent", "Good morning.")
    drawn = chart(call(), said, answered)
    assert place(lane(drawn, "Caller speaks").bars[0]) == (10.0, 14.0)
    assert place(lane(drawn, "Agent speaks").bars[0]) == (15.0, 19.0)


def test_slow_answers_and_silences_are_marked() -> None:
    report = {
        "turns": [
            {"at": START + 10_000, "latency_ms": 900},
            {"at": START + 20_000, "latency_ms": 3_000},
        ],
        "unanswered": [{"at": START + 40_000, "duration_ms": 5_000}],
    }
    silences = [{"at": START + 60_000, "duration_ms": 8_000}]
    bars = lane(chart(call(report=report, agent_silences=silences)), "Agent speaks").bars
    assert [(bar.kind, *place(bar)) for bar in bars] == [
        ("slow", 20.0, 23.0),
        ("unanswered", 40.0, 45.0),
        ("silent", 60.0, 68.0),
    ]


def test_what_lies_outside_the_call_is_cut_off_and_a_moment_is_seen() -> None:
    early = Line(START - 9_000, START - 8_000, "agent", "Too early.")
    late = Line(START + 99_000, START + 900_000, "agent", "Too late.")
    bars = lane(chart(call(), early, late), "Agent speaks").bars
    assert all(bar.x >= 0 and bar.x + bar.width <= 100.001 for bar in bars)
    assert all(bar.width > 0.2 for bar in bars)


def test_a_long_call_has_few_marks_and_bars() -> None:
    lines = [Line(START + at * 1000, START + at * 1000 + 500, "user", "Yes.") for at in range(9000)]
    drawn = chart(call(lasted=9_000.0), *lines)
    assert 4 <= len(drawn.ticks) <= 9
    assert drawn.ticks[1].label == "30:00"
    assert len(lane(drawn, "Caller speaks").bars) <= 1_001


def test_a_call_that_lasted_no_time_is_drawn() -> None:
    assert chart(call(lasted=0.0)).length_ms == 1_000


def test_others_in_the_room_have_a_lane() -> None:
    target = {"identity": "target", "kind": "sip", "joined_at": START + 50_000, "left_at": None}
    agent = {**target, "identity": "agent-AJ_1", "kind": "agent"}
    drawn = chart(call(participants=[agent, target, {**target, "joined_at": None}]))
    assert place(lane(drawn, "target").bars[0]) == (50.0, 100.0)
    assert "agent-AJ_1" not in [it.name for it in drawn.lanes]


def test_a_turn_tells_when_the_caller_stopped_and_how_long_they_waited() -> None:
    report = {
        "transcript": [
            {"at": START + 1_000, "role": "user", "text": "A long question." * 20},
            {"at": START + 6_000, "role": "agent", "text": "An answer."},
        ],
        "turns": [{"at": START + 3_500, "latency_ms": 2_500}],
        "recording": {"started_at": START - 500},
    }
    question, answer = transcript_of(report).lines
    assert question.end == START + 3_500
    assert (answer.waited, answer.is_slow) == (2_500, True)
    assert (question.place, answer.place) == (1.5, 6.5)


def test_a_line_lasts_no_longer_than_until_the_next() -> None:
    report = {
        "transcript": [
            {"at": START, "role": "agent", "text": "word " * 200},
            {"at": START + 2_000, "role": "user", "text": "Stop."},
        ]
    }
    first, second = transcript_of(report).lines
    assert first.end == START + 2_000
    assert START + 2_000 < second.end < START + 3_000
