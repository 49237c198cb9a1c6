"""Commands and their errors: what says that Redis is unavailable, and what is a defect."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from gateway.errors import StorageUnavailable
from gateway.storage.redis import connect
from gateway.storage.redis import database as module
from gateway.storage.redis.connect import Client, connected
from gateway.storage.redis.database import Database
from tests.fakes.livekit import FakeLiveKit
from tests.fakes.tcp_proxy import TcpProxy
from tests.livekit.server import redis_server
from tests.storage.conftest import StorageOpener, call
from tests.storage.redis_servers import redis_cli, wait_for

#: What a database has told of its commands: their name, and why they failed.
Observed = list[tuple[str, str]]


@pytest.fixture
def observed() -> Observed:
    return []


@pytest.fixture
async def full_redis(server_process: None, observed: Observed) -> AsyncIterator[Database]:
    """A Redis that has no memory left."""

    def observe(what: str, seconds: float, error: str) -> None:
        assert 0 <= seconds < 10
        observed.append((what, error))

    with redis_server() as address:
        redis_cli(address, "CONFIG", "SET", "maxmemory", "1")
        redis_cli(address, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        async with connected(f"redis://{address}", connect_timeout=1.0) as client:
            yield Database(client, "gateway", timeout=1.0, observe=observe)


async def test_a_full_redis_is_unavailable(full_redis: Database, observed: Observed) -> None:
    with pytest.raises(StorageUnavailable, match="maxmemory"):
        await full_redis.run("acquire_lock", full_redis.key("leader"), "me", 1000)
    with pytest.raises(StorageUnavailable, match="maxmemory"):
        await full_redis.execute("SET", full_redis.key("since"), 1)
    await full_redis.execute("GET", full_redis.key("since"))
    # A script that Redis has not seen is sent twice, and that is no failure.
    assert observed == [
        ("acquire_lock", ""),
        ("acquire_lock", "refused"),
        ("SET", "refused"),
        ("GET", ""),
    ]


@pytest.mark.field("D9")
async def test_the_probe_writes(full_redis: Database) -> None:
    """A Redis that is full still answers reads."""
    assert await full_redis.execute("ZCARD", full_redis.key("active")) == 0
    with pytest.raises(StorageUnavailable, match="maxmemory"):
        await full_redis.probe()


@pytest.mark.field("D1")
@pytest.mark.parametrize(
    "error", [AttributeError("_reader"), RuntimeError("closed"), ValueError("x"), IndexError()]
)
async def test_whatever_leaves_redis_py_is_an_error_of_ours(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    class Crashing:
        async def execute_command(self, *command: object) -> object:
            raise error

    database = Database(Crashing(), "gateway", timeout=1.0)  # type: ignore[arg-type]
    with pytest.raises(StorageUnavailable, match=type(error).__name__):
        await database.execute("GET", "key")
    assert "storage.command_crashed" in capsys.readouterr().out


@pytest.mark.field("D1")
async def test_something_else_than_redis_is_unavailable(fake_livekit: FakeLiveKit) -> None:
    url = fake_livekit.url.replace("http://", "redis://")
    async with connected(url, connect_timeout=1.0) as client:
        with pytest.raises(StorageUnavailable):
            await Database(client, "gateway", timeout=1.0).probe()


@pytest.mark.field("D2")
async def test_commands_outlive_connections_that_have_gone_silent(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = 0

    async def drop(client: Client) -> None:
        nonlocal dropped
        dropped += 1
        await connect.drop_idle_connections(client)

    monkeypatch.setattr(module, "drop_idle_connections", drop)
    async with TcpProxy.serving(urlsplit(redis_url).port or 0) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        async with connected(url, connect_timeout=3.0) as client:
            database = Database(client, "gateway", timeout=6.0)
            await asyncio.gather(*(database.execute("PING") for _ in range(20)))
            proxy.silence()
            await asyncio.gather(*(database.execute("PING") for _ in range(40)))
            assert dropped == 1  # not by each command: a slow Redis would never catch up


@pytest.mark.server
async def test_a_replica_is_unavailable() -> None:
    with redis_server() as master, contextlib.ExitStack() as stack:
        replica = stack.enter_context(redis_server("--replicaof", *master.split(":")))
        wait_for(replica, "master_link_status:up", "INFO", "replication")
        async with connected(f"redis://{replica}", connect_timeout=1.0) as client:
            database = Database(client, "gateway", timeout=1.0)
            for _ in range(2):
                with pytest.raises(StorageUnavailable, match=r"read only|write"):
                    await database.run("acquire_lock", database.key("leader"), "me", 1000)


async def test_a_defect_does_not_count_as_unavailable(
    shared: StorageOpener, database: Database
) -> None:
    async with shared.opened() as one:
        await database.execute("SET", database.key("call", "call-0001"), "something else")
        with pytest.raises(Exception, match="WRONGTYPE") as defect:
            await one.registry.add(call(1))
        assert not isinstance(defect.value, StorageUnavailable)


async def test_a_cancelled_command_does_not_mix_up_replies(database: Database) -> None:
    async def execute_and_cancel(number: int) -> None:
        command = asyncio.ensure_future(database.execute("ECHO", f"cancelled {number}"))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        command.cancel()
        await asyncio.wait({command})

    for number in range(100):
        await asyncio.gather(*(execute_and_cancel(other) for other in range(number, number + 8)))
        assert await database.execute("ECHO", str(number)) == str(number)
