"""When an agent was mute: as its worker tells, as its report does, and both together."""

from typing import Any

import pytest

from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.calls.silences import SILENCES_LIMIT, AgentSilence, merged, reported
from gateway.calls.transitions import transition
from gateway.calls.views import summary

START = 1_700_000_000_000


def silent(at: int, duration: int) -> Event:
    silence = AgentSilence(START + at, duration)
    return Event(EventKind.AGENT_SILENT, START + at + duration, silence=silence)


def shown(call: Call) -> list[tuple[int, int]]:
    return [(it["at"] - START, it["duration_ms"]) for it in summary(call)["agent_silences"]]


def test_a_silence_that_lasts_is_told_more_than_once() -> None:
    call = Call("call-1", Direction.INBOUND, "agent", START)
    for event in (silent(60_000, 6_000), silent(10_000, 5_000), silent(10_000, 8_000)):
        call = transition(call, event)
    assert shown(call) == [(10_000, 8_000), (60_000, 6_000)]


def test_a_silence_may_be_told_after_the_end() -> None:
    call = Call("call-1", Direction.INBOUND, "agent", START)
    for event in (Event(EventKind.AGENT_FAILED, START + 30_000), silent(10_000, 20_000)):
        call = transition(call, event)
    assert shown(call) == [(10_000, 20_000)]


def test_what_the_agent_has_noticed_itself_is_the_same_silence() -> None:
    report = {
        "stalls": [{"at": START + 10_500, "duration_ms": 7_000}],
        "mute": [{"at": START + 90_000, "duration_ms": 5_200}],
    }
    call = Call("call-1", Direction.INBOUND, "agent", START, report=report)
    assert shown(transition(call, silent(10_000, 6_000))) == [(10_000, 7_500), (90_000, 5_200)]


@pytest.mark.parametrize(
    "stalls",
    [None, "often", [5, None, []], [{"at": "now", "duration_ms": 5}], [{"at": 5}]],
)
def test_a_report_of_another_form_has_no_silences(stalls: Any) -> None:
    assert list(reported({"stalls": stalls})) == []


def test_the_longest_silences_of_a_call_are_kept() -> None:
    silences = [AgentSilence(START + 10_000 * n, n) for n in range(1, SILENCES_LIMIT + 10)]
    assert merged(reversed(silences)) == tuple(silences[9:])
