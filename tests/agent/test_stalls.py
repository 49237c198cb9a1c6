"""A job's process that stood still says so in its report."""

import pytest

from agent import stalls
from agent.heartbeat import Heartbeat
from agent.record import MAX_SILENCES, Record
from agent.stalls import Stalls


@pytest.mark.field("H10")
def test_a_process_that_stood_still_is_noted() -> None:
    now, record = 100.0, Record()
    watch = Stalls(record, Heartbeat("AJ_1"), lambda: now)
    for _ in range(4):
        now += stalls.INTERVAL
        watch.check()
    assert record.report()["stalls"] == []
    now += stalls.INTERVAL + 8.0
    watch.check()
    watch.check()
    (note,) = record.stalls
    assert note["duration_ms"] == 8000


def test_the_notes_are_bounded() -> None:
    now, record = 0.0, Record()
    watch = Stalls(record, Heartbeat("AJ_1"), lambda: now)
    for _ in range(MAX_SILENCES + 5):
        now += 10
        watch.check()
    assert len(record.stalls) == MAX_SILENCES
