"""Which SIP response declines a caller whom no fallback target is left for."""

import pytest

from gateway.calls.outcomes import SipOutcome
from gateway.transfers.fallback import NO_AGENT, UNAVAILABLE, refusal


@pytest.mark.field("C1")
@pytest.mark.parametrize("status", range(100, 700))
def test_only_a_failure_declines(status: int) -> None:
    outcome = SipOutcome(status, "Reason")
    if status < 200 or status == 487:
        assert refusal(outcome) == NO_AGENT
    elif status < 400 or status in {401, 407}:
        assert refusal(outcome) == UNAVAILABLE
    else:
        assert refusal(outcome) == outcome


def test_without_a_status_the_service_is_unavailable() -> None:
    assert refusal(None) == UNAVAILABLE
