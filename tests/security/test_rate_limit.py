"""The rate limiter allows neither more nor less than its rate and its burst."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.security.rate_limit import SECOND, RateLimiter

RATE, BURST = st.floats(0.01, 10_000), st.integers(1, 100)
PAUSES = st.lists(st.integers(0, 20 * SECOND), max_size=200)


@given(RATE, BURST, PAUSES)
def test_no_interval_has_more_requests_than_rate_and_burst_allow(
    rate: float, burst: int, pauses: list[int]
) -> None:
    limiter, now = RateLimiter(rate, burst), 0
    granted: list[int] = []
    for pause in pauses:
        now += pause
        if limiter.acquire("n8n", now) == 0:
            granted.append(now)
    interval = max(1, round(SECOND / rate))
    for first, began in enumerate(granted):
        for last in range(first, len(granted)):
            share = burst + (granted[last] - began) // interval
            assert last - first + 1 <= share


@given(RATE, BURST, PAUSES)
def test_a_client_that_waits_as_long_as_required_is_accepted(
    rate: float, burst: int, pauses: list[int]
) -> None:
    limiter, now = RateLimiter(rate, burst), 0
    for pause in pauses:
        now += pause
        if wait := limiter.acquire("n8n", now):
            now += wait * SECOND
            assert limiter.acquire("n8n", now) == 0


@given(st.integers(1, 1000), BURST)
def test_a_burst_and_then_a_steady_rate_are_accepted(rate: int, burst: int) -> None:
    limiter, now = RateLimiter(rate, burst), 0
    assert [limiter.acquire("n8n", now) for _ in range(burst)] == [0] * burst
    assert limiter.acquire("n8n", now) >= 1
    for _ in range(50):
        now += round(SECOND / rate)
        assert limiter.acquire("n8n", now) == 0


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=100))
def test_clients_do_not_affect_each_other(clients: list[str]) -> None:
    shared = RateLimiter(1, 3)
    alone = {client: RateLimiter(1, 3) for client in "abc"}
    for now, client in enumerate(clients):
        assert shared.acquire(client, now) == alone[client].acquire(client, now)


def test_the_least_recently_used_bucket_is_dropped_at_the_limit() -> None:
    limiter = RateLimiter(1, 1, limit=2)
    assert [limiter.acquire(client, 0) for client in "ab"] == [0, 0]
    assert limiter.acquire("b", 0) == 1
    assert limiter.acquire("c", 0) == 0
    assert limiter.acquire("b", 0) == 1
    assert limiter.acquire("a", 0) == 0
