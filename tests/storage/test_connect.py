"""Every kind of Redis that a URL can lead to, each a real one; and those that do not let us in."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from gateway.calls.call import Event, EventKind
from gateway.config.loader import build_config
from gateway.config.settings import LOOPBACK
from gateway.errors import ConfigError, StorageRefused, StorageUnavailable
from gateway.server import serve
from gateway.storage.redis.connect import UnusableUrl, connected, url_problem
from gateway.storage.redis.database import Database
from tests.conftest import ConfigMaker
from tests.livekit.server import IN_MEMORY, redis_process, redis_server
from tests.ports import free_port
from tests.storage.conftest import START, Opener, Receivers, call, live_through, story_of

PASSWORD = "hush/?#@:%hush"
QUOTED = "hush%2F%3F%23%40%3A%25hush"
RULES = "~{gateway}:* +@all -@dangerous -@admin +info"


@contextmanager
def with_password(_: Path) -> Iterator[str]:
    with redis_server("--requirepass", PASSWORD) as address:
        yield f"redis://:{QUOTED}@{address}/3"


@contextmanager
def with_user(_: Path) -> Iterator[str]:
    user = f"gw on >{PASSWORD} {RULES}".split()
    with redis_server("--user", *user) as address:
        yield f"redis://gw:{QUOTED}@{address}"


@contextmanager
def by_socket(folder: Path) -> Iterator[str]:
    path = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), *IN_MEMORY]
    with redis_process(*options, ready="ready to accept connections at"):
        yield f"unix://{path}?db=1"


@contextmanager
def by_tls(folder: Path) -> Iterator[str]:
    authority = certificates(folder)
    port = free_port()
    tls = {
        "--tls-port": str(port),
        "--tls-cert-file": str(folder / "redis.crt"),
        "--tls-key-file": str(folder / "redis.key"),
        "--tls-ca-cert-file": authority,
        "--tls-auth-clients": "no",
        "--requirepass": PASSWORD,
    }
    options = [word for pair in tls.items() for word in pair]
    with redis_server(*options, port=0):
        yield f"rediss://:{QUOTED}@localhost:{port}/0?ssl_ca_certs={authority}"


@contextmanager
def by_sentinel(folder: Path) -> Iterator[str]:
    with sentinels(folder) as (url, _):
        yield url


@contextmanager
def by_cluster(folder: Path) -> Iterator[str]:
    nodes = ["--cluster-enabled", "yes", "--cluster-config-file", str(folder / "nodes.conf")]
    # By default 10,000 above the port, which may be too high.
    bus = ["--cluster-port", str(free_port())]
    with redis_server("--requirepass", PASSWORD, *nodes, *bus) as address:
        redis_cli(address, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_for(address, "cluster_state:ok", "CLUSTER", "INFO")
        yield f"redis+cluster://:{QUOTED}@{address}"


KINDS = [with_password, with_user, by_socket, by_tls, by_sentinel, by_cluster]


def certificates(folder: Path) -> str:
    """An authority, and redis.crt and redis.key signed by it; the authority's file."""
    name = ["-subj", "/CN=localhost", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
    ca = ["-keyout", "ca.key", "-out", "ca.crt", "-addext", "basicConstraints=critical,CA:TRUE"]
    own = ["-keyout", "redis.key", "-out", "redis.crt", "-CA", "ca.crt", "-CAkey", "ca.key"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"]
    for words in (ca, own + names):
        command = ["openssl", "req", "-x509", *name, *words]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return str(folder / "ca.crt")


def redis_cli(address: str, *words: str) -> str:
    host, _, port = address.partition(":")
    command = ["redis-cli", "-h", host, "-p", port, *words]
    env = {"REDISCLI_AUTH": PASSWORD, "PATH": "/usr/bin:/bin:/usr/local/bin"}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def wait_for(address: str, text: str, *words: str) -> None:
    for _ in range(200):
        if text in redis_cli(address, *words):
            return
        subprocess.run(["sleep", "0.1"], check=True)
    raise AssertionError(text)


@contextmanager
def sentinels(folder: Path) -> Iterator[tuple[str, str]]:
    """A master, its replica and a sentinel: the URL, and the sentinel's address."""
    secret = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
    port = free_port()
    with redis_server(*secret) as master, contextlib.ExitStack() as stack:
        host, _, master_port = master.partition(":")
        replica = stack.enter_context(redis_server(*secret, "--replicaof", host, master_port))
        wait_for(replica, "master_link_status:up", "INFO", "replication")
        file = folder / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind {LOOPBACK}\nsentinel monitor mymaster {host} {master_port} 1\n"
            f'sentinel auth-pass mymaster "{PASSWORD}"\nrequirepass "{PASSWORD}"\n'
            "sentinel down-after-milliseconds mymaster 1000\n"
        )
        stack.enter_context(redis_process(str(file), "--sentinel", ready="+monitor master"))
        sentinel = f"{LOOPBACK}:{port}"
        wait_for(sentinel, replica.partition(":")[2], "SENTINEL", "REPLICAS", "mymaster")
        dead = f"{LOOPBACK}:{free_port()}"
        yield (
            f"redis+sentinel://:{QUOTED}@{dead},{sentinel}/mymaster/0?sentinel_password={QUOTED}",
            sentinel,
        )


@pytest.mark.server
@pytest.mark.parametrize("kind", KINDS)
async def test_the_stores_work_on_each(
    kind: "type[AbstractContextManager[str]]", tmp_path: Path, receivers: Receivers
) -> None:
    with kind(tmp_path) as url:  # type: ignore[call-arg]
        shared = Opener(url, receivers, prefix="gateway")
        async with shared.opened() as one, shared.opened() as other:
            await live_through(one.registry, 1)
            await live_through(other.registry, 2)
            assert sorted(await receivers.heard_of(6)) == sorted(story_of(1, 2))
            assert await one.registry.count_active() == 0
            assert await one.leader.acquire()
            await one.registry.since()
            await one.registry.prune(START + 10**6)
            assert await other.registry.get("call-0001") is None


@pytest.mark.server
async def test_a_failover_is_lived_through(tmp_path: Path, receivers: Receivers) -> None:
    with sentinels(tmp_path) as (url, sentinel):
        shared = Opener(url, receivers, prefix="gateway")
        async with shared.opened() as one:
            await one.registry.add(call(1))
            before = redis_cli(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
            async with asyncio.timeout(60):
                while before == redis_cli(
                    sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"
                ):
                    # It may not take the replica for a good one yet.
                    redis_cli(sentinel, "SENTINEL", "FAILOVER", "mymaster")
                    await asyncio.sleep(0.5)
                # Until then the old master takes what is lost with its demotion.
                await asyncio.to_thread(
                    wait_for, before.strip().replace("\n", ":"), "slave", "ROLE"
                )
                await _as_soon_as_it_can(one.registry.apply, "call-0001")
                heard = await receivers.heard_of(1)
            assert heard == story_of(1)[:1]


async def _as_soon_as_it_can(apply: object, call_id: str) -> None:
    while True:
        try:
            await apply(call_id, Event(EventKind.ANSWERED, START))  # type: ignore[operator]
        except StorageUnavailable:
            await asyncio.sleep(0.1)
        else:
            return


@pytest.fixture(scope="module")
def guarded(server_process: None) -> Iterator[str]:
    """The address of one with a password, and a user who may do little."""
    with redis_server(
        "--requirepass", PASSWORD, "--user", "weak", "on", ">weak", "~*", "+get"
    ) as at:
        yield at


@pytest.fixture(params=["no password", "a wrong one", "too few rights", "an unknown user"])
def shut(guarded: str, request: pytest.FixtureRequest) -> str:
    """A URL that leads to a Redis which does not let us in."""
    return {
        "no password": f"redis://{guarded}",
        "a wrong one": f"redis://:terces@{guarded}",
        "too few rights": f"redis://weak:weak@{guarded}",
        "an unknown user": f"redis://nobody:terces@{guarded}",
    }[str(request.param)]


async def test_a_redis_that_does_not_let_us_in(shut: str) -> None:
    async with connected(shut, deadline=1.0) as client:
        database = Database(client, "gateway", deadline=1.0)
        for _ in range(2):
            with pytest.raises(StorageRefused) as refused:
                await database.run("acquire_lock", database.key("watcher"), "me", 1000)
            assert "terces" not in repr(refused.value) + repr(refused.value.__cause__)
        assert "terces" not in repr(database)


async def test_serve_says_what_is_wrong_with_the_password(
    shut: str, make_config: ConfigMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="check user and password in REDIS_URL") as wrong:
        await asyncio.wait_for(serve(make_config({"REDIS_URL": shut})), 20)
    assert "terces" not in str(wrong.value) + capsys.readouterr().out


async def test_serve_starts_while_redis_is_away(
    make_config: ConfigMaker, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = f"redis://:terces@{LOOPBACK}:{free_port()}"
    env = {"REDIS_URL": nobody, "PORT": str(unused_tcp_port)}
    serving = asyncio.ensure_future(serve(make_config(env, server={"drain_delay": 0})))
    async with asyncio.timeout(20):
        while "gateway.listening" not in (output := capsys.readouterr().out):
            assert not serving.done()
            assert "terces" not in output
            await asyncio.sleep(0.05)
    serving.cancel()
    await asyncio.wait({serving})


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "http://terces@redis",
        "redis:6379",
        "redis://:terces/x@redis",
        "redis://:terces#x@redis",
        "redis://u:1234?x@redis",
        "redis://redis:port",
        "redis://redis/database",
        "redis://redis?terces=1",
        "redis://redis?socket_timeout=terces",
        "redis+sentinel://:terces@redis",
        "redis+sentinel://:terces@redis:x/mymaster",
        "redis+sentinel://redis,:5/mymaster",
        "redis+cluster://redis/1",
        "unix://",
    ],
)
async def test_a_url_that_cannot_be_used(url: str, make_config: ConfigMaker) -> None:
    assert "must be redis://" in url_problem(url)
    with pytest.raises(UnusableUrl) as unusable:
        async with connected(url, deadline=1.0):
            pass
    assert "terces" not in str(unusable.value)
    assert unusable.value.__suppress_context__
    with pytest.raises(ConfigError) as wrong:
        await serve(make_config({"REDIS_URL": url}))
    assert "REDIS_URL" in str(wrong.value)
    assert "terces" not in str(wrong.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:terces@redis",
        "rediss://gw:terces@redis:6380/0",
        "redis://:ter/ces@redis",
        "redis://redis?password=terces",
        "redis+sentinel://redis/mymaster?sentinel_password=terces",
    ],
)
def test_a_password_belongs_into_the_environment(url: str) -> None:
    with pytest.raises(ConfigError, match="set REDIS_URL in the environment") as refused:
        build_config({"storage": {"url": url}}, {})
    assert "ces" not in str(refused.value).replace("place", "")
    assert build_config({"storage": {"url": "redis://redis:6379/1"}}, {}).storage.url
    assert "terces" not in repr(build_config({}, {"REDIS_URL": url}))


@pytest.fixture
async def small(server_process: None) -> AsyncIterator[Database]:
    """A Redis without room for anything."""
    with redis_server() as address:
        redis_cli(address, "CONFIG", "SET", "maxmemory", "1")
        redis_cli(address, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        async with connected(f"redis://{address}", deadline=1.0) as client:
            yield Database(client, "gateway", deadline=1.0)


async def test_a_full_redis_is_one_that_is_away(small: Database) -> None:
    with pytest.raises(StorageUnavailable, match="maxmemory"):
        await small.run("acquire_lock", small.key("watcher"), "me", 1000)
    with pytest.raises(StorageUnavailable, match="maxmemory"):
        await small.ask("SET", small.key("since"), 1)


@pytest.mark.server
async def test_a_replica_is_no_place_to_write_to() -> None:
    with redis_server() as master, contextlib.ExitStack() as stack:
        replica = stack.enter_context(redis_server("--replicaof", *master.split(":")))
        wait_for(replica, "master_link_status:up", "INFO", "replication")
        async with connected(f"redis://{replica}", deadline=1.0) as client:
            database = Database(client, "gateway", deadline=1.0)
            for _ in range(2):
                with pytest.raises(StorageUnavailable, match=r"read only|write"):
                    await database.run("acquire_lock", database.key("watcher"), "me", 1000)
