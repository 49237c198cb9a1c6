"""A delivery alone: how long it waits between attempts, and when it gives up."""

import pytest

from gateway.callbacks import delivery as module
from gateway.callbacks.delivery import CONFLICT_LIMIT, Answer, Delivery

GIVE_UP_AFTER = 3600.0


@pytest.fixture(autouse=True)
def short_pauses() -> None:
    """The pauses here are the real ones: none of these tests waits."""


@pytest.fixture
def delivery() -> Delivery:
    return Delivery("dlv_1", "call-1", "call_ended", "evt_1", "https://example.com", "{}", 0)


def attempt(delivery: Delivery, status: int | None, at: float = 0) -> str:
    """Record a response `at` s; returns the delivery's status then."""
    delivery.record_attempt(Answer(status), round(at * 1000), give_up_after=GIVE_UP_AFTER)
    return delivery.status


def test_the_pause_doubles_with_every_attempt_up_to_a_minute(delivery: Delivery) -> None:
    pauses = []
    for _ in range(8):
        attempt(delivery, 503)
        pauses.append(delivery.backoff(Answer(503), 1.0))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert module.LONGEST_BACKOFF == 60


@pytest.mark.field("E6")
@pytest.mark.parametrize(("retry_after", "pause"), [(0.0, 0.5), (5.0, 5), (30.0, 30), (3600, 3600)])
def test_no_attempt_is_made_before_the_receiver_wants_it(
    delivery: Delivery, retry_after: float, pause: float
) -> None:
    attempt(delivery, 503)
    assert delivery.backoff(Answer(503, retry_after=retry_after), 0.5) == pause


@pytest.mark.field("E6")
def test_a_receiver_that_wants_it_too_late_is_not_waited_for(delivery: Delivery) -> None:
    answer = Answer(503, retry_after=GIVE_UP_AFTER + 1)
    delivery.record_attempt(answer, 0, give_up_after=GIVE_UP_AFTER)
    assert delivery.status == "failed"


@pytest.mark.parametrize("status", [None, 302, 404, 500])
def test_a_delivery_is_given_up_in_the_end(delivery: Delivery, status: int | None) -> None:
    assert attempt(delivery, status, GIVE_UP_AFTER - 1) == "pending"
    assert attempt(delivery, status, GIVE_UP_AFTER) == "failed"


def test_a_receiver_that_is_gone_is_not_tried_again(delivery: Delivery) -> None:
    assert attempt(delivery, 410) == "failed"


@pytest.mark.field("E7")
@pytest.mark.parametrize("first", [0, 70, GIVE_UP_AFTER - 1])
def test_a_conflict_is_retried_for_a_minute_from_the_first_on(
    delivery: Delivery, first: float
) -> None:
    assert attempt(delivery, 409, first) == "pending"
    assert attempt(delivery, 503, first + 0.5) == "pending"
    assert attempt(delivery, 409, first + CONFLICT_LIMIT - 1) == "pending"
    assert attempt(delivery, 409, first + CONFLICT_LIMIT) == "failed"
    delivery.reset(round((first + 100) * 1000))
    assert attempt(delivery, 409, first + 101) == "pending"


def test_a_reset_starts_the_time_again(delivery: Delivery) -> None:
    attempt(delivery, 500, GIVE_UP_AFTER)
    delivery.reset(round(GIVE_UP_AFTER * 1000))
    assert delivery.is_pending
    assert attempt(delivery, 500, 2 * GIVE_UP_AFTER - 1) == "pending"
    assert attempt(delivery, 204, 2 * GIVE_UP_AFTER) == "delivered"
    assert delivery.attempts == 3
