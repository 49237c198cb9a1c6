"""How often somebody may ask: never more than said, never less."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.security.rate_limit import SECOND, RateLimiter

RATE, BURST = st.floats(0.01, 10_000), st.integers(1, 100)
PAUSES = st.lists(st.integers(0, 20 * SECOND), max_size=200)


@given(RATE, BURST, PAUSES)
def test_no_stretch_of_time_sees_more_than_its_share(
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
def test_who_comes_back_when_told_is_let_in(rate: float, burst: int, pauses: list[int]) -> None:
    limiter, now = RateLimiter(rate, burst), 0
    for pause in pauses:
        now += pause
        if wait := limiter.acquire("n8n", now):
            now += wait * SECOND
            assert limiter.acquire("n8n", now) == 0


@given(st.integers(1, 1000), BURST)
def test_a_steady_pace_is_never_refused_and_a_burst_is_let_in(rate: int, burst: int) -> None:
    limiter, now = RateLimiter(rate, burst), 0
    assert [limiter.acquire("n8n", now) for _ in range(burst)] == [0] * burst
    assert limiter.acquire("n8n", now) >= 1
    for _ in range(50):
        now += round(SECOND / rate)
        assert limiter.acquire("n8n", now) == 0


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=100))
def test_names_do_not_meet(names: list[str]) -> None:
    shared = RateLimiter(1, 3)
    alone = {name: RateLimiter(1, 3) for name in "abc"}
    for now, name in enumerate(names):
        assert shared.acquire(name, now) == alone[name].acquire(name, now)


def test_no_more_names_are_remembered_than_said() -> None:
    limiter = RateLimiter(1, 1, limit=2)
    assert [limiter.acquire(name, 0) for name in "ab"] == [0, 0]
    assert limiter.acquire("b", 0) == 1
    assert limiter.acquire("c", 0) == 0
    assert limiter.acquire("b", 0) == 1
    assert limiter.acquire("a", 0) == 0
