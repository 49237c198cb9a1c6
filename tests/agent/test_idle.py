"""How many processes wait for calls."""

import pytest

from agent.idle import BURST, CALM, REMEMBERED, IdleProcesses

pytestmark = pytest.mark.field("G5")


def after(calls: int, *, apart: float = 0.1, minimum: int = 2, maximum: int = 16) -> IdleProcesses:
    """After `calls`, the last of them at 0."""
    idle = IdleProcesses(minimum, maximum)
    for number in range(calls):
        idle.call_came((number - calls + 1) * apart)
    return idle


@pytest.mark.parametrize(("calls", "wanted"), [(0, 2), (1, 2), (8, 8), (16, 16), (40, 16)])
def test_there_are_as_many_as_calls_came_at_once(calls: int, wanted: int) -> None:
    assert after(calls).wanted(CALM) == wanted


def test_calls_that_come_one_after_the_other_need_no_more() -> None:
    assert after(100, apart=BURST).wanted(CALM) == 2


def test_the_calls_that_just_came_have_the_cpu_for_themselves() -> None:
    assert after(8).wanted(CALM / 2) == 1


def test_while_calls_keep_coming_there_are_as_many_as_come_in_a_second() -> None:
    assert after(100, apart=0.25, maximum=64).wanted(CALM / 2) == 4


def test_a_burst_is_forgotten_after_a_while() -> None:
    idle = after(8)
    for number in range(4):
        idle.call_came(REMEMBERED - 10 + number)
    assert idle.wanted(REMEMBERED - 10 + 3 + CALM) == 8
    assert idle.wanted(REMEMBERED + 1) == 4
    assert idle.wanted(2 * REMEMBERED) == 2
