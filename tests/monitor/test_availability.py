"""When LiveKit counts as unavailable, so that its lists prove nothing for a while."""

from dataclasses import dataclass

import pytest

from gateway.monitor.availability import SETTLING_MS, Availability


@dataclass
class Time:
    now: int = 0


@pytest.mark.field("D4")
def test_one_missed_answer_is_no_outage_and_two_in_a_row_are() -> None:
    time = Time()
    availability = Availability(lambda: time.now)
    availability.missed()
    assert availability.is_settled
    availability.answered()
    availability.missed()
    assert availability.is_settled
    availability.missed()
    assert not availability.is_settled
    time.now += SETTLING_MS + 1
    assert availability.is_settled


@pytest.mark.field("D4")
def test_a_request_whose_repetitions_failed_too_is_an_outage() -> None:
    time = Time()
    availability = Availability(lambda: time.now)
    availability.failed()
    assert not availability.is_settled
