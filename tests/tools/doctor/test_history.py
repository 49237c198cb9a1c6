"""The check of the history: what the running gateway says of it, and what to do."""

from typing import Any

import pytest

from gateway.explanation.status import Status
from gateway.tools.doctor.history import judge
from tests.conftest import ConfigMaker, GatewayStarter
from tests.tools.doctor.conftest import run_check

FILE = {"history": {"url": "sqlite:///history.db"}}
OK = {"state": "ok", "problem": "", "waiting": 2, "lost": 0, "audit_lost": 0}
AWAY = {**OK, "state": "unavailable", "problem": "history: OSError: no such host"}


@pytest.mark.parametrize(
    ("history", "env", "status", "part"),
    [
        (OK, {}, Status.OK, "2 ended calls wait"),
        ({**OK, "state": "off"}, {}, Status.OK, "ended_ttl"),
        (AWAY, {}, Status.FAIL, "no such host; 2 ended calls wait"),
        ({**OK, "lost": 7}, {}, Status.WARN, "7 ended calls were lost"),
        (OK, {"REDIS_URL": "redis://192.0.2.1"}, Status.WARN, "gateways share a Redis"),
    ],
)
def test_findings(
    make_config: ConfigMaker, history: Any, env: dict[str, str], status: Status, part: str
) -> None:
    finding = judge(make_config(env, **FILE), history)
    assert finding.status is status
    assert part in finding.message


async def test_a_running_gateway_is_asked(
    start_gateway: GatewayStarter, make_config: ConfigMaker
) -> None:
    gateway = await start_gateway()
    url = str(gateway.make_url("")).rstrip("/")
    assert "ended_ttl" in (await run_check(make_config(), "history", url=url)).message
