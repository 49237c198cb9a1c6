"""The health of each part, in a word and a sentence."""

from typing import Any

import pytest

from gateway.explanation.status import Status
from gateway.history.writer import HistoryState, HistoryStatus
from gateway.livekit.trunks import Kind, SipItem
from gateway.monitor.readiness import Condition, PartState
from gateway.web.health import of_history, of_pending, of_recent_calls, of_state, of_trunks


def ended(reason: str | None, *, answered: bool) -> dict[str, Any]:
    return {"disconnection_reason": reason, "answer_timestamp": 1 if answered else None}


def test_a_part_that_does_not_answer_says_why() -> None:
    away = PartState(Condition.UNAVAILABLE, "no answer within 2 s")
    part = of_state("LiveKit", away, "wss://livekit.example.com")
    assert (part.status, part.text) == (Status.FAIL, "unavailable: no answer within 2 s")
    assert of_state("LiveKit", PartState(), "wss://livekit.example.com").status is Status.OK


@pytest.mark.parametrize(
    ("calls", "status"),
    [
        ([], Status.SKIP),
        ([ended(None, answered=False)], Status.SKIP),
        ([ended(None, answered=False), ended("user_hangup", answered=True)], Status.OK),
        ([ended("dial_busy", answered=False), ended("no_agent", answered=False)], Status.FAIL),
        ([ended("user_hangup", answered=True), ended("no_agent", answered=False)], Status.OK),
        ([ended("agent_error", answered=True)], Status.WARN),
    ],
)
def test_the_newest_calls_tell_whether_agents_come(
    calls: list[dict[str, Any]], status: Status
) -> None:
    assert of_recent_calls(calls).status is status


def test_without_a_route_to_livekit_there_is_a_next_step() -> None:
    trunk, rule = SipItem(Kind.INBOUND_TRUNK, "ST_1", {}), SipItem(Kind.DISPATCH_RULE, "SDR_1", {})
    assert of_trunks([trunk, rule]).status is Status.OK
    for items in ([], [trunk], [rule]):
        part = of_trunks(items)
        assert part.status is Status.WARN
        assert "python -m gateway setup" in part.text


def test_receivers_that_do_not_keep_up() -> None:
    assert of_pending(0, 10_000).text == "none waits"
    assert of_pending(999, 10_000).status is Status.OK
    assert of_pending(1_000, 10_000).status is Status.WARN


def test_a_history_that_is_away_says_what_waits() -> None:
    away = HistoryStatus(HistoryState.UNAVAILABLE, "database is locked", waiting=7)
    assert of_history(away, 3600).text == "database is locked; 7 calls to be saved"
    assert of_history(away, 3600).status is Status.FAIL
    assert of_history(HistoryStatus(HistoryState.OK, lost=1), 3600).status is Status.WARN
    assert of_history(HistoryStatus(HistoryState.OK), 3600).status is Status.OK
    assert "3600 s" in of_history(HistoryStatus(), 3600).text
