"""Where calls are kept, as the doctor sees it."""

from pathlib import Path

import pytest

from gateway.config.settings import LOOPBACK
from gateway.tools.doctor.check import Status
from gateway.tools.doctor.storage import kept
from tests.conftest import ConfigMaker
from tests.livekit.server import redis_server
from tests.ports import free_port
from tests.tools.doctor.conftest import look


async def test_a_registry_in_memory(make_config: ConfigMaker) -> None:
    told = await look(make_config(), "storage")
    assert told.status is Status.OK
    assert "in memory" in told.saw


@pytest.mark.server
async def test_a_redis_that_keeps_what_it_is_told(make_config: ConfigMaker, tmp_path: Path) -> None:
    with redis_server("--appendonly", "yes", "--dir", str(tmp_path)) as address:
        told = await look(make_config({"REDIS_URL": f"redis://{address}"}), "storage")
    assert (told.status, told.saw) == (Status.OK, "Redis answers, 0 active calls")


@pytest.mark.server
async def test_a_redis_that_forgets(make_config: ConfigMaker) -> None:
    options = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]
    with redis_server(*options) as address:
        told = await look(make_config({"REDIS_URL": f"redis://{address}"}), "storage")
    assert told.status is Status.WARN
    assert "appendonly yes" in told.next
    assert "maxmemory-policy noeviction" in told.next


def test_a_redis_that_is_too_old() -> None:
    (told,) = kept({"redis_version": "6.0.16", "aof_enabled": 1})
    assert (told.status, told.next) == (Status.FAIL, "take 6.2 or later")
    assert kept({"redis_version": "7.0.15", "aof_enabled": 1}) == []


@pytest.mark.server
@pytest.mark.parametrize(
    ("url", "saw", "step"),
    [
        ("redis://:terces@{away}", "Redis: ", "start Redis"),
        ("redis://:terces@{there}", "Redis: ", "check user and password"),
        ("redis://:ter/ces@{there}", "cannot be used", "it must be redis://"),
    ],
)
async def test_a_redis_that_cannot_be_used(
    url: str, saw: str, step: str, make_config: ConfigMaker
) -> None:
    away = f"{LOOPBACK}:{free_port()}"
    with redis_server("--requirepass", "another") as there:
        config = make_config({"REDIS_URL": url.format(away=away, there=there)})
        told = await look(config, "storage")
    assert told.status is Status.FAIL
    assert saw in told.saw
    assert step in told.next
    assert "ces" not in told.saw


@pytest.mark.server
async def test_a_user_who_may_not_ask_how_it_is_set_up(make_config: ConfigMaker) -> None:
    rules = ["gw", "on", ">pw", "~{gateway}:*", "+@all", "-@dangerous"]
    with redis_server("--user", *rules) as address:
        told = await look(make_config({"REDIS_URL": f"redis://gw:pw@{address}"}), "storage")
    assert told.status is Status.OK
