"""Real Redis servers of every kind that a URL can name, each for a test's duration."""

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.config.settings import LOOPBACK
from tests.certificates import make_certificates
from tests.livekit.server import IN_MEMORY, redis_process, redis_server
from tests.ports import free_port

PASSWORD = "hush/?#@:%hush"
QUOTED = "hush%2F%3F%23%40%3A%25hush"
#: What a user of the gateway may do with the prefix `gateway`.
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
def with_socket(folder: Path) -> Iterator[str]:
    path = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), *IN_MEMORY]
    with redis_process(*options, ready="ready to accept connections at"):
        yield f"unix://{path}?db=1"


@contextmanager
def with_tls(folder: Path) -> Iterator[str]:
    authority = str(make_certificates(folder))
    port = free_port()
    tls = {
        "--tls-port": str(port),
        "--tls-cert-file": str(folder / "server.crt"),
        "--tls-key-file": str(folder / "server.key"),
        "--tls-ca-cert-file": authority,
        "--tls-auth-clients": "no",
        "--requirepass": PASSWORD,
    }
    options = [text for pair in tls.items() for text in pair]
    with redis_server(*options, port=0):
        yield f"rediss://:{QUOTED}@localhost:{port}/0?ssl_ca_certs={authority}"


@contextmanager
def with_sentinel(folder: Path) -> Iterator[str]:
    with sentinels(folder) as (url, *_):
        yield url


@contextmanager
def as_cluster(folder: Path) -> Iterator[str]:
    nodes = ["--cluster-enabled", "yes", "--cluster-config-file", str(folder / "nodes.conf")]
    # The default is 10,000 above the port, which may be no port.
    bus = ["--cluster-port", str(free_port())]
    with redis_server("--requirepass", PASSWORD, *nodes, *bus) as address:
        redis_cli(address, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_for(address, "cluster_state:ok", "CLUSTER", "INFO")
        yield f"redis+cluster://:{QUOTED}@{address}"


KINDS = [with_password, with_user, with_socket, with_tls, with_sentinel, as_cluster]


def redis_cli(address: str, *command: str) -> str:
    host, _, port = address.partition(":")
    arguments = ["redis-cli", "-h", host, "-p", port, *command]
    env = {"REDISCLI_AUTH": PASSWORD, "PATH": "/usr/bin:/bin:/usr/local/bin"}
    return subprocess.run(arguments, env=env, check=True, capture_output=True, text=True).stdout


def wait_for(address: str, text: str, *command: str) -> None:
    """Until the reply to `command` contains `text`."""
    for _ in range(200):
        if text in redis_cli(address, *command):
            return
        subprocess.run(["sleep", "0.1"], check=True)
    raise AssertionError(text)


@contextmanager
def sentinels(folder: Path) -> Iterator[tuple[str, str, str]]:
    """A master, its replica and a Sentinel: the URL, the Sentinel's address, the replica's."""
    passwords = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
    port = free_port()
    with redis_server(*passwords) as master, contextlib.ExitStack() as stack:
        host, _, master_port = master.partition(":")
        replica = stack.enter_context(redis_server(*passwords, "--replicaof", host, master_port))
        wait_for(replica, "master_link_status:up", "INFO", "replication")
        file = folder / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind {LOOPBACK}\nsentinel monitor mymaster {host} {master_port} 1\n"
            f'sentinel auth-pass mymaster "{PASSWORD}"\nrequirepass "{PASSWORD}"\n'
            # Only the test starts a failover, not a master that a loaded machine slows down.
            "sentinel down-after-milliseconds mymaster 60000\n"
        )
        stack.enter_context(redis_process(str(file), "--sentinel", ready="+monitor master"))
        sentinel = f"{LOOPBACK}:{port}"
        wait_for(sentinel, replica.partition(":")[2], "SENTINEL", "REPLICAS", "mymaster")
        dead = f"{LOOPBACK}:{free_port()}"
        yield (
            f"redis+sentinel://:{QUOTED}@{dead},{sentinel}/mymaster/0?sentinel_password={QUOTED}",
            sentinel,
            replica,
        )
