"""The processes that are measured: the gateway, the bare handler, and the servers behind them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.livekit_binary import find_or_build
from gateway.tools.dev.livekit_server import free_port, local_server
from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import wait_until_up
from tests.fakes.livekit import KEY
from tests.fakes.livekit import SECRET as FAKE_SECRET

GATEWAY = python("-m", "gateway", "serve")
GATEWAY_BEHIND_NAME_SERVER = python("-m", "bench.behind_name_server", "serve")
BARE_AIOHTTP = python("-m", "bench.servers.bare_aiohttp")
BARE_FASTAPI = python("-m", "bench.servers.bare_fastapi")
FULL_FASTAPI = python("-m", "bench.servers.full_fastapi")
EXPRESS = Path(__file__).parent / "servers" / "express"
#: For a gateway whose memory is measured with active calls: it stores few that have ended.
FEW_ENDED = {"GATEWAY__STORAGE__ENDED_MAX": "500"}
SECRET = "wh_secret_bench"  # noqa: S105 - of a server on loopback, for the length of a run


@dataclass(frozen=True)
class Server:
    """A process that serves at `url`."""

    url: str
    pid: int


@contextmanager
def livekit() -> Iterator[Mapping[str, str]]:
    """A LiveKit without a worker; yields the environment of a gateway that uses it."""
    server = local_server(find_or_build(), webhook_url=f"http://{LOOPBACK}:9/")
    process = Process("livekit", server.command, {**os.environ, **server.env})
    try:
        wait_until_up(process, f"http://{LOOPBACK}:{server.port}")
        yield environment(server.url, server.key, server.secret)
    finally:
        process.stop()


def environment(url: str, key: str, secret: str) -> dict[str, str]:
    """The environment of a gateway that uses the LiveKit at `url` and logs as in production."""
    return {
        **os.environ,
        "LIVEKIT_URL": url,
        "LIVEKIT_API_KEY": key,
        "LIVEKIT_API_SECRET": secret,
        "JAMBONZ_WEBHOOK_SECRET": SECRET,
        "GATEWAY_API_KEYS": "",
        "GATEWAY__LOGGING__FORMAT": "json",
        "GATEWAY__LIMITS__MAX_ACTIVE_CALLS": "200000",
        # No call ends because no caller and no agent joins its room.
        "GATEWAY__INBOUND__REGISTERED_TIMEOUT": "3600",
        "GATEWAY__INBOUND__AGENT_TIMEOUT": "120",
        # The other servers have all the time in the world.
        "GATEWAY__LIVEKIT__TIMEOUT": "8",
    }


@contextmanager
def fake_livekit() -> Iterator[Mapping[str, str]]:
    """A fake LiveKit that accepts every room; yields the environment of a gateway that uses it."""
    port = free_port()
    command = python("-m", "bench.fake_livekit")
    process = Process("fake livekit", command, {**os.environ, "PORT": str(port)})
    try:
        url = f"http://{LOOPBACK}:{port}"
        wait_until_up(process, url)
        yield environment(url, KEY, FAKE_SECRET)
    finally:
        process.stop()


@contextmanager
def redis() -> Iterator[tuple[int, str]]:
    """A Redis that writes nothing to disk; yields its process id and its URL."""
    port = free_port()
    command = ["redis-server", "--bind", LOOPBACK, "--port", str(port), "--save", ""]
    process = Process("redis", command, os.environ)
    try:
        process.wait_for("Ready to accept connections", limit=10)
        yield process.pid, f"redis://{LOOPBACK}:{port}/0"
    finally:
        process.stop()


@contextmanager
def serving(
    command: Sequence[str], env: Mapping[str, str], *, history: str = ""
) -> Iterator[Server]:
    """`command` as a server on a free port, once it is ready; by default its history is its own."""
    port = free_port()
    with TemporaryDirectory() as folder:
        own = {"PORT": str(port), "HISTORY_URL": history or f"sqlite:///{folder}/history.db"}
        process = Process(command[-1], command, {**env, **own})
        try:
            wait_until_up(process, f"http://{LOOPBACK}:{port}/readyz")
            yield Server(f"http://{LOOPBACK}:{port}", process.pid)
        finally:
            process.stop()


def without_livekit() -> dict[str, str]:
    """This process' environment without a LiveKit, so that the development stack starts one."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("LIVEKIT_")}
    return {**own, "HISTORY_URL": "none"}


def whole_calls(receiver: str) -> dict[str, str]:
    """Settings of a gateway whose calls come to their end, and are reported to `receiver`."""
    return {
        "GATEWAY__CALLBACKS__URLS": receiver,
        "GATEWAY__CALLBACKS__ALLOWED_HOSTS": LOOPBACK,
        "GATEWAY__CALLBACKS__REPORT_TIMEOUT": "5",
    }
