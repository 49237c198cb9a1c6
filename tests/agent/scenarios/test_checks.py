"""Expectations against what happened."""

import pytest

from agent.ending import Ending
from agent.scenarios.checks import Happened, ToolCall, checks
from agent.scenarios.scenario import Expect, Turn
from agent.scenarios.show import summary, turn_lines

BOOKED = ToolCall("book", {"slot": "2026-12-01T09:00", "patient_name": "Ann"}, '{"booked": true}')
HAPPENED = Happened(("One moment.", BOOKED, "You are booked for nine."))
ENDED = Happened(("Goodbye.",), ending=Ending("the agent ended the call", "agent_hangup"))
TRANSFERRED = Happened(transfer="front_desk", ending=Ending("transferred"))


def problems(happened: Happened, **expect: object) -> list[str]:
    return [check.problem for check in checks(Expect.model_validate(expect), happened)]


@pytest.mark.parametrize(
    ("happened", "expect"),
    [
        (HAPPENED, {"says": "BOOKED for (nine|ten)"}),
        (HAPPENED, {"says": "moment.*nine"}),
        (HAPPENED, {"never_says": "ten"}),
        (HAPPENED, {"calls": {"book": {"slot": "2026-12-01T09:00"}}}),
        (HAPPENED, {"calls": {"book": {}}}),
        (ENDED, {"calls": {}}),
        (ENDED, {"ends": "agent_hangup"}),
        (TRANSFERRED, {"transfers": "front_desk", "ends": ""}),
    ],
)
def test_an_expectation_that_holds(happened: Happened, expect: dict[str, object]) -> None:
    assert set(problems(happened, **expect)) == {""}


@pytest.mark.parametrize(
    ("happened", "expect", "problem"),
    [
        (HAPPENED, {"says": "ten"}, "it said: One moment. You are booked for nine."),
        (TRANSFERRED, {"says": "ten"}, "it said: nothing"),
        (HAPPENED, {"never_says": "N.NE"}, "it said: nine"),
        (HAPPENED, {"calls": {}}, "it called: book"),
        (HAPPENED, {"calls": {"free_slots": {}}}, "it called: book"),
        (ENDED, {"calls": {"book": {}}}, "it called: nothing"),
        (HAPPENED, {"calls": {"book": {"slot": "x"}}}, "its arguments: {"),
        (HAPPENED, {"calls": {"book": {"reason": None}}}, "its arguments: {"),
        (HAPPENED, {"ends": "agent_hangup"}, "the call goes on"),
        (ENDED, {"ends": "agent_error"}, "it ended: agent_hangup"),
        (TRANSFERRED, {"ends": "agent_hangup"}, "it ended: transferred"),
        (HAPPENED, {"transfers": "front_desk"}, "it transferred to: nothing"),
        (TRANSFERRED, {"transfers": "doctor"}, "it transferred to: front_desk"),
    ],
)
def test_an_expectation_that_fails_says_what_happened_instead(
    happened: Happened, expect: dict[str, object], problem: str
) -> None:
    (found,) = problems(happened, **expect)
    assert found.startswith(problem)


def test_a_turn_is_shown_with_its_checks() -> None:
    expect = Expect(says="ten", calls={"book": {}})
    done = list(checks(expect, HAPPENED))
    lines = list(turn_lines(Turn(user="Nine,\nplease."), HAPPENED, done))
    assert lines == [
        "  user   Nine, please.",
        "  agent  One moment.",
        '  tool   book {"slot": "2026-12-01T09:00", "patient_name": "Ann"} → {"booked": true}',
        "  agent  You are booked for nine.",
        "         FAILED  says ten: it said: One moment. You are booked for nine.",
        "         ok      calls book",
    ]
    assert summary(done) == "1 of 2 expectations hold"
