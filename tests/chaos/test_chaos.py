"""Thousands of calls while everything goes wrong: none is lost, none ends twice."""

import os
from pathlib import Path

import pytest

from tests.chaos import plan
from tests.chaos.checks import CHECKS
from tests.chaos.outcome import rest
from tests.chaos.plan import Plan
from tests.chaos.report import summary, told
from tests.chaos.world import World

#: Each of the two keeps a core busy: they run one after the other.
pytestmark = [pytest.mark.server, pytest.mark.xdist_group("chaos")]
ALONE, SEVERAL = plan.alone(os.environ), plan.several(os.environ)


@pytest.mark.timeout(ALONE.time_limit)
async def test_one_gateway_loses_no_call(tmp_path: Path) -> None:
    await _survives(ALONE, tmp_path)


@pytest.mark.timeout(SEVERAL.time_limit)
async def test_two_gateways_lose_no_call_with_redis_away_and_one_of_them_killed(
    tmp_path: Path,
) -> None:
    await _survives(SEVERAL, tmp_path)


async def _survives(planned: Plan, folder: Path) -> None:
    print(f"CHAOS_SEED={planned.seed}, {planned.calls} calls, logs in {folder}")  # noqa: T201
    async with World.made(planned, folder) as world:
        await world.run()
        outcome = await rest(world)
        print(summary(outcome))  # noqa: T201
        findings = {check.__name__: list(check(outcome)) for check in CHECKS}
        wrong = {name: found for name, found in findings.items() if found}
        assert not wrong, told(wrong, outcome)
