"""Every kind of Redis that a URL can name, each a real one; and servers that refuse the gateway."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gateway.calls.call import Event, EventKind
from gateway.config.settings import LOOPBACK
from gateway.errors import ConfigError, StorageRefused, StorageUnavailable
from gateway.server import serve
from gateway.storage.redis.connect import connected
from gateway.storage.redis.database import Database
from gateway.storage.registry import CallRegistry
from tests.conftest import ConfigMaker
from tests.livekit.server import redis_server
from tests.ports import free_port
from tests.storage.conftest import (
    START,
    Receivers,
    StorageOpener,
    call,
    complete_call,
    event_ids,
)
from tests.storage.redis_servers import KINDS, PASSWORD, redis_cli, sentinels, wait_for


@pytest.mark.server
@pytest.mark.parametrize("kind", KINDS)
async def test_the_backend_works_with_every_kind_of_redis(
    kind: Callable[[Path], AbstractContextManager[str]], tmp_path: Path, receivers: Receivers
) -> None:
    with kind(tmp_path) as url:
        shared = StorageOpener(url, receivers, prefix="gateway")
        async with shared.opened() as one, shared.opened() as other:
            await complete_call(one.registry, 1)
            await complete_call(other.registry, 2)
            assert sorted(await receivers.event_ids(6)) == sorted(event_ids(1, 2))
            assert await one.registry.count_active() == 0
            assert await one.leader.acquire()
            await one.registry.since()
            await one.registry.prune(START + 10**6)
            assert await other.registry.get("call-0001") is None


@pytest.mark.server
async def test_the_backend_survives_a_failover(tmp_path: Path, receivers: Receivers) -> None:
    with sentinels(tmp_path) as (url, sentinel, replica):
        shared = StorageOpener(url, receivers, prefix="gateway")
        async with shared.opened() as one:
            await one.registry.add(call(1))
            # A failover loses what the replica does not have yet.
            await asyncio.to_thread(wait_for, replica, "call:call-0001", "KEYS", "*")
            get_master = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"
            old_master = redis_cli(sentinel, *get_master)
            async with asyncio.timeout(60):
                # Sentinel may not consider the replica a good one yet.
                while "OK" not in redis_cli(sentinel, "SENTINEL", "FAILOVER", "mymaster"):
                    await asyncio.sleep(0.5)
                while old_master == redis_cli(sentinel, *get_master):
                    await asyncio.sleep(0.1)
                # Until it is demoted, the old master accepts writes that are lost then.
                address = old_master.strip().replace("\n", ":")
                await asyncio.to_thread(wait_for, address, "slave", "ROLE")
                await answer_call(one.registry, "call-0001")
                received = await receivers.event_ids(1)
            assert received == event_ids(1)[:1]


async def answer_call(registry: CallRegistry, call_id: str) -> None:
    """As soon as the registry is available."""
    while True:
        try:
            await registry.apply(call_id, Event(EventKind.ANSWERED, START))
        except StorageUnavailable:
            await asyncio.sleep(0.1)
        else:
            return


@pytest.fixture(scope="module")
def guarded_redis(server_process: None) -> Iterator[str]:
    """The address of a Redis with a password, and with a user who may do little."""
    with redis_server(
        "--requirepass", PASSWORD, "--user", "weak", "on", ">weak", "~*", "+get"
    ) as address:
        yield address


@pytest.fixture(params=["no password", "wrong password", "too few rights", "unknown user"])
def refused_url(guarded_redis: str, request: pytest.FixtureRequest) -> str:
    """A URL whose Redis refuses the gateway."""
    return {
        "no password": f"redis://{guarded_redis}",
        "wrong password": f"redis://:terces@{guarded_redis}",
        "too few rights": f"redis://weak:weak@{guarded_redis}",
        "unknown user": f"redis://nobody:terces@{guarded_redis}",
    }[str(request.param)]


async def test_a_refusal_does_not_repeat_the_password(refused_url: str) -> None:
    async with connected(refused_url, connect_timeout=1.0) as client:
        database = Database(client, "gateway", timeout=1.0)
        for _ in range(2):
            with pytest.raises(StorageRefused) as refused:
                await database.run("acquire_lock", database.key("leader"), "me", 1000)
            assert "terces" not in repr(refused.value) + repr(refused.value.__cause__)
        assert "terces" not in repr(database)


async def test_serve_does_not_start_if_redis_refuses_the_gateway(
    refused_url: str, make_config: ConfigMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="check user and password in REDIS_URL") as wrong:
        await asyncio.wait_for(serve(make_config({"REDIS_URL": refused_url})), 20)
    assert "terces" not in str(wrong.value) + capsys.readouterr().out


async def test_serve_starts_while_redis_is_unavailable(
    make_config: ConfigMaker, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"redis://:terces@{LOOPBACK}:{free_port()}"
    env = {"REDIS_URL": url, "PORT": str(unused_tcp_port)}
    serving = asyncio.ensure_future(serve(make_config(env, server={"drain_delay": 0})))
    async with asyncio.timeout(20):
        while "gateway.listening" not in (output := capsys.readouterr().out):
            assert not serving.done()
            assert "terces" not in output
            await asyncio.sleep(0.05)
    serving.cancel()
    await asyncio.wait({serving})
