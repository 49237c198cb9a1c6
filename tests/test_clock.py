"""The gateway's clock, while the system's is set."""

from dataclasses import dataclass

import pytest

from gateway.clock import Clock

HOUR = 3_600_000


@dataclass
class Machine:
    """Its clocks, in ms."""

    wall: int = 1_700_000_000_000
    monotonic: int = 5_000

    def clock(self) -> Clock:
        return Clock(lambda: self.wall * 1_000_000, lambda: self.monotonic * 1_000_000)

    def pass_time(self, ms: int) -> None:
        self.wall += ms
        self.monotonic += ms


@pytest.mark.field("D5")
@pytest.mark.parametrize("step", [HOUR, -HOUR // 6, 0])
def test_a_step_of_the_systems_clock_does_not_move_it(step: int) -> None:
    machine = Machine()
    clock, start = machine.clock(), machine.wall
    machine.wall += step
    machine.pass_time(1_500)
    assert (clock(), clock.lag) == (start + 1_500, step)
    clock.advance(clock.lag)
    assert (clock(), clock.lag) == (machine.wall, 0)


@pytest.mark.field("D5")
def test_nothing_sets_the_uptime() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.uptime()
    machine.wall += HOUR
    clock.advance(HOUR)
    assert clock.uptime() == before
    machine.pass_time(1_000)
    assert clock.uptime() == before + 1_000


def test_a_process_starts_with_the_systems_time() -> None:
    machine = Machine()
    machine.wall += HOUR
    assert machine.clock()() == machine.wall
