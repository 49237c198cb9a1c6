"""No call is lost or ends twice while requests are lost, Redis is stopped and a gateway killed."""

import os
from pathlib import Path

import pytest

from tests.chaos.checks import CHECKS
from tests.chaos.outcome import collect_outcome
from tests.chaos.report import failure_report, summary
from tests.chaos.run_settings import RunSettings, single_gateway, two_gateways
from tests.chaos.simulation import Simulation

pytestmark = pytest.mark.server
TWO_GATEWAYS, SINGLE_GATEWAY = two_gateways(os.environ), single_gateway(os.environ)


@pytest.mark.timeout(TWO_GATEWAYS.time_limit)
async def test_two_gateways_lose_no_call_though_redis_is_stopped_and_one_is_killed(
    tmp_path: Path,
) -> None:
    await _run(TWO_GATEWAYS, tmp_path)


@pytest.mark.timeout(SINGLE_GATEWAY.time_limit)
async def test_a_single_gateway_loses_no_call(tmp_path: Path) -> None:
    await _run(SINGLE_GATEWAY, tmp_path)


async def _run(settings: RunSettings, folder: Path) -> None:
    print(f"CHAOS_SEED={settings.seed}, {settings.calls} calls, logs in {folder}")  # noqa: T201
    async with Simulation.started(settings, folder) as simulation:
        await simulation.run()
        outcome = await collect_outcome(simulation)
        print(summary(outcome))  # noqa: T201
        findings = {check.__name__: list(check(outcome)) for check in CHECKS}
        failed = {name: of_check for name, of_check in findings.items() if of_check}
        assert not failed, failure_report(failed, outcome)
