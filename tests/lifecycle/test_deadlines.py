"""A call's next deadline, and what is due then."""

from dataclasses import replace

import pytest

from gateway.calls.absences import AgentAbsence
from gateway.calls.call import Call, CallStatus, Direction
from gateway.calls.outcomes import Transfer
from gateway.config.settings import Config
from gateway.lifecycle.deadlines import Deadlines, Due

START = 1_700_000_000_000
NEW = Call("call-1", Direction.INBOUND, "agent", START, ringing_timeout=30, max_call_duration=100)
WITH_AGENT = replace(NEW, agent_came=True)
RINGING = replace(WITH_AGENT, call_status=CallStatus.RINGING)
ONGOING = replace(WITH_AGENT, call_status=CallStatus.ONGOING, answer_timestamp=START + 5_000)
ENDED = replace(ONGOING, call_status=CallStatus.ENDED, end_timestamp=START + 9_000)
CASES = {
    "no agent yet": (NEW, 10_001, Due.NO_AGENT),
    "outbound calls have no deadline for the agent": (
        replace(NEW, direction=Direction.OUTBOUND),
        60_001,
        Due.EXPIRED,
    ),
    "the caller does not join": (WITH_AGENT, 60_001, Due.EXPIRED),
    "it rings": (RINGING, 90_001, Due.EXPIRED),
    "it is ongoing": (ONGOING, 105_001, Due.MAX_DURATION_REACHED),
    "its agent left": (
        replace(ONGOING, agent_absence=AgentAbsence(START + 7_000)),
        9_000,
        Due.AGENT_ABSENT,
    ),
    "it is being transferred": (
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
def test_what_is_due_and_when(case: str) -> None:
    call, after, expected = CASES[case]
    deadlines = Deadlines(Config())
    assert deadlines.next(call) == START + after
    assert deadlines.due(call, START + after - 1) is None
    assert deadlines.due(call, START + after) is expected


def test_a_reported_call_has_no_deadline() -> None:
    done = replace(ENDED, report_settled=True)
    deadlines = Deadlines(Config())
    assert deadlines.next(done) is None
    assert deadlines.due(done, START + 10**9) is None
