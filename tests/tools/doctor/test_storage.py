"""The check of the storage: memory, and Redis with its settings."""

from pathlib import Path

import pytest

from gateway.config.settings import LOOPBACK
from gateway.explanation.status import Status
from gateway.tools.doctor.storage import durability
from tests.conftest import ConfigMaker
from tests.livekit.server import redis_server
from tests.ports import free_port
from tests.tools.doctor.conftest import run_check


async def test_memory(make_config: ConfigMaker) -> None:
    finding = await run_check(make_config(), "storage")
    assert finding.status is Status.OK
    assert "in memory" in finding.message


@pytest.mark.server
async def test_a_durable_redis(make_config: ConfigMaker, tmp_path: Path) -> None:
    with redis_server("--appendonly", "yes", "--dir", str(tmp_path)) as address:
        finding = await run_check(make_config({"REDIS_URL": f"redis://{address}"}), "storage")
    assert (finding.status, finding.message) == (Status.OK, "Redis answers, 0 active calls")


@pytest.mark.server
async def test_a_redis_that_loses_data(make_config: ConfigMaker) -> None:
    options = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]
    with redis_server(*options) as address:
        finding = await run_check(make_config({"REDIS_URL": f"redis://{address}"}), "storage")
    assert finding.status is Status.WARN
    assert "appendonly yes" in finding.next
    assert "maxmemory-policy noeviction" in finding.next


def test_a_redis_that_is_too_old() -> None:
    (finding,) = durability({"redis_version": "6.0.16", "aof_enabled": 1})
    assert (finding.status, finding.next) == (Status.FAIL, "install 6.2 or later")
    assert durability({"redis_version": "7.0.15", "aof_enabled": 1}) == []


@pytest.mark.server
@pytest.mark.parametrize(
    ("url", "message", "step"),
    [
        ("redis://:terces@{closed}", "Redis: ", "start Redis"),
        ("redis://:terces@{running}", "Redis: ", "check user and password"),
    ],
)
async def test_an_unusable_redis(
    url: str, message: str, step: str, make_config: ConfigMaker
) -> None:
    closed = f"{LOOPBACK}:{free_port()}"
    with redis_server("--requirepass", "another") as running:
        config = make_config({"REDIS_URL": url.format(closed=closed, running=running)})
        finding = await run_check(config, "storage")
    assert finding.status is Status.FAIL
    assert message in finding.message
    assert step in finding.next
    assert "ces" not in finding.message


@pytest.mark.server
async def test_a_user_without_the_permission_for_info(make_config: ConfigMaker) -> None:
    rules = ["gw", "on", ">pw", "~{gateway}:*", "+@all", "-@dangerous"]
    with redis_server("--user", *rules) as address:
        finding = await run_check(make_config({"REDIS_URL": f"redis://gw:pw@{address}"}), "storage")
    assert finding.status is Status.OK
