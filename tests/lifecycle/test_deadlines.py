"""When a call is due, and for what."""

from dataclasses import replace

import pytest

from gateway.calls.call import AgentAbsence, Call, CallStatus, Direction, Transfer
from gateway.config.settings import Config
from gateway.lifecycle.deadlines import Deadlines, Due

START = 1_700_000_000_000
NEW = Call("call-1", Direction.INBOUND, "agent", START, ringing_timeout=30, max_call_duration=100)
THERE = replace(NEW, agent_came=True)
RINGING = replace(THERE, call_status=CallStatus.RINGING)
ONGOING = replace(THERE, call_status=CallStatus.ONGOING, answer_timestamp=START + 5_000)
ENDED = replace(ONGOING, call_status=CallStatus.ENDED, end_timestamp=START + 9_000)
CASES = {
    "no agent yet": (NEW, 10_001, Due.NO_AGENT),
    "an outbound call's agent is waited for elsewhere": (
        replace(NEW, direction=Direction.OUTBOUND),
        60_001,
        Due.EXPIRED,
    ),
    "nobody called in": (THERE, 60_001, Due.EXPIRED),
    "it rings": (RINGING, 90_001, Due.EXPIRED),
    "it lasts": (ONGOING, 105_001, Due.MAX_DURATION_REACHED),
    "its agent left": (
        replace(ONGOING, agent_absence=AgentAbsence(START + 7_000)),
        9_000,
        Due.AGENT_GONE,
    ),
    "it is handed on": (
        replace(
            ONGOING,
            agent_absence=AgentAbsence(START),
            transfer=Transfer("+15550100", START + 6_000),
        ),
        46_001,
        Due.TRANSFER,
    ),
    "its report is awaited": (ENDED, 19_000, Due.REPORT),
}


@pytest.mark.parametrize("case", CASES)
def test_due(case: str) -> None:
    call, after, what = CASES[case]
    deadlines = Deadlines(Config())
    assert deadlines.next(call) == START + after
    assert deadlines.due(call, START + after - 1) is None
    assert deadlines.due(call, START + after) is what


def test_nothing_becomes_of_a_call_that_was_reported() -> None:
    done = replace(ENDED, report_settled=True)
    deadlines = Deadlines(Config())
    assert deadlines.next(done) is None
    assert deadlines.due(done, START + 10**9) is None
