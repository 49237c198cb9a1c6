"""The settings of what LiveKit dials: whose number calls, and how long it may ring."""

import pytest

from gateway.config.loader import build_config
from gateway.config.validation import ringing_problems
from gateway.errors import ConfigError


@pytest.mark.field("B13")
def test_no_dial_of_livekit_may_ring_longer_than_it_lets_it() -> None:
    assert build_config({"outbound": {"ringing_timeout": 80}}, {}).outbound.ringing_timeout == 80
    with pytest.raises(ConfigError, match=r"outbound.ringing_timeout: .* 80"):
        build_config({"outbound": {"ringing_timeout": 81}}, {})


@pytest.mark.field("B13")
@pytest.mark.parametrize(
    ("strategy", "seconds", "is_problem"),
    [("room", 600, False), ("participant", 80, False), ("participant", 81, True)],
)
def test_with_the_participant_strategy_livekit_dials(
    strategy: str, seconds: int, *, is_problem: bool
) -> None:
    config = build_config({"inbound": {"strategy": strategy, "ringing_timeout": seconds}}, {})
    problems = ringing_problems(config.inbound)
    assert bool(problems) is is_problem
    assert all("inbound.ringing_timeout" in line and "participant" in line for line in problems)


@pytest.mark.field("B14")
@pytest.mark.parametrize(
    ("caller", "user"),
    [
        ("", ""),
        ("+61491570110", "+61491570110"),
        ("+61 491 570 110", "+61491570110"),
        ("support-desk", "support-desk"),
    ],
)
def test_the_default_caller_is_a_user_part(caller: str, user: str) -> None:
    config = build_config({"outbound": {"default_caller": caller}}, {})
    assert config.outbound.default_caller == user


@pytest.mark.field("B14")
@pytest.mark.parametrize("caller", ["Support desk", "a@example.com", "undefined"])
def test_any_other_default_caller_is_a_mistake(caller: str) -> None:
    with pytest.raises(ConfigError, match=r"outbound\.default_caller: "):
        build_config({"outbound": {"default_caller": caller}}, {})
