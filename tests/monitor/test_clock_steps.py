"""The system's clock is set while there are calls: it ends none, and every deadline still holds."""

import pytest

from gateway.calls.call import EventKind
from tests.monitor.harness import INBOUND, ROOM, START, Harness

HOUR = 3_600_000
STEPS = pytest.mark.parametrize("step", [HOUR, -HOUR // 6])


@pytest.mark.field("D5")
@STEPS
async def test_a_step_ends_no_call(harness: Harness, step: int) -> None:
    await harness.register_with_room()
    harness.add_leg()
    harness.add_agent()
    await harness.apply(EventKind.AGENT_JOINED, EventKind.ANSWERED)
    harness.step = step
    await harness.pass_time(1)
    await harness.reconcile(after=1)
    await harness.pass_time(INBOUND.max_call_duration - 10)
    assert await harness.state() == ("ongoing", None)
    await harness.pass_time(20)
    assert await harness.state() == ("ended", "max_duration_reached")
    call = await harness.call()
    assert call.duration_ms == harness.now - START


@pytest.mark.field("D5")
@STEPS
async def test_a_step_keeps_no_caller_waiting_for_an_agent(harness: Harness, step: int) -> None:
    await harness.register_with_room()
    harness.step = step
    await harness.pass_time(9)
    assert await harness.state() == ("registered", None)
    await harness.pass_time(2)
    assert await harness.state() == ("error", "no_agent")


@pytest.mark.field("D5")
@STEPS
async def test_a_step_is_reported_once_and_followed_when_there_are_no_calls(
    harness: Harness, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    await harness.register_with_room()
    harness.step = step
    for _ in range(3):
        await harness.pass_time(1)
    assert harness.services.clock() == harness.now
    await harness.apply(EventKind.AGENT_FAILED)
    await harness.pass_time(1)
    assert harness.services.clock() == harness.now + step
    output = capsys.readouterr().out
    assert output.count("clock.stepped") == 1
    assert output.count("clock.set") == 1


@pytest.mark.field("D5")
@STEPS
async def test_the_room_of_a_call_that_has_just_ended_is_deleted_all_the_same(
    harness: Harness, step: int
) -> None:
    await harness.register_with_room()
    harness.add_leg()
    await harness.apply(EventKind.ANSWERED, EventKind.CALLER_LEFT)
    harness.step = step
    await harness.pass_time(1)  # the clock follows the system's
    await harness.pass_time(6)
    assert ROOM not in harness.fake.rooms


@pytest.mark.field("D5")
async def test_a_gateway_that_starts_after_the_clock_was_set_back_restores_its_calls(
    harness: Harness,
) -> None:
    await harness.register_with_room()
    harness.add_leg()
    harness.restart(after=-600)
    await harness.services.deadline_loop.reconcile()
    assert await harness.is_stored()


@pytest.mark.field("D5")
async def test_a_suspended_machine_is_no_step_of_a_second(harness: Harness) -> None:
    """Clocks of machines differ by less, and are corrected by less, all the time."""
    harness.step = 1_000
    await harness.pass_time(1)
    assert harness.services.clock() == harness.now
