"""The processes that are measured: the gateway, the floor, and the LiveKit behind both."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.livekit_binary import find_or_build
from gateway.tools.dev.livekit_server import free_port, local_server
from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import wait_until_up
from tests.fakes.livekit import KEY
from tests.fakes.livekit import SECRET as FAKE_SECRET

GATEWAY = python("-m", "gateway", "serve")
FLOOR = python("-m", "bench.floor")
#: For a gateway whose memory is measured with calls that last.
FEW_ENDED = {"GATEWAY__STORAGE__ENDED_MAX": "500"}
SECRET = "wh_secret_bench"  # noqa: S105 - of a server on loopback, for the length of a run


@dataclass(frozen=True)
class Part:
    """A process that listens at `url`."""

    url: str
    pid: int


@contextmanager
def livekit() -> Iterator[Mapping[str, str]]:
    """A LiveKit without a worker; the environment that leads to it."""
    server = local_server(find_or_build(), webhook_url=f"http://{LOOPBACK}:9/")
    child = Process("livekit", server.command, {**os.environ, **server.env})
    try:
        wait_until_up(child, f"http://{LOOPBACK}:{server.port}")
        yield environment(server.url, server.key, server.secret)
    finally:
        child.stop()


def environment(url: str, key: str, secret: str) -> dict[str, str]:
    """What a gateway needs to reach LiveKit at `url`; logs as in production."""
    return {
        **os.environ,
        "LIVEKIT_URL": url,
        "LIVEKIT_API_KEY": key,
        "LIVEKIT_API_SECRET": secret,
        "JAMBONZ_WEBHOOK_SECRET": SECRET,
        "GATEWAY_API_KEYS": "",
        "GATEWAY__LOGGING__FORMAT": "json",
        "GATEWAY__LIMITS__MAX_ACTIVE_CALLS": "200000",
        "GATEWAY__INBOUND__REGISTERED_TIMEOUT": "3600",
        # Nor do calls end because this LiveKit has no worker.
        "GATEWAY__INBOUND__AGENT_TIMEOUT": "120",
    }


@contextmanager
def fake_livekit() -> Iterator[Mapping[str, str]]:
    """A fake LiveKit that takes every room; the environment that leads to it."""
    port = free_port()
    child = Process("fake", python("-m", "bench.fake"), {**os.environ, "PORT": str(port)})
    try:
        url = f"http://{LOOPBACK}:{port}"
        wait_until_up(child, url)
        yield environment(url, KEY, FAKE_SECRET)
    finally:
        child.stop()


@contextmanager
def redis() -> Iterator[tuple[Part, str]]:
    """A Redis that keeps nothing on disk, and its URL."""
    port = free_port()
    command = ["redis-server", "--bind", LOOPBACK, "--port", str(port), "--save", ""]
    child = Process("redis", command, os.environ)
    try:
        child.wait_for("Ready to accept connections", limit=10)
        yield Part("", child.pid), f"redis://{LOOPBACK}:{port}/0"
    finally:
        child.stop()


@contextmanager
def serving(command: Sequence[str], env: Mapping[str, str]) -> Iterator[Part]:
    """A process that serves on a free port, once it is ready."""
    port = free_port()
    child = Process(command[-1], command, {**env, "PORT": str(port)})
    try:
        wait_until_up(child, f"http://{LOOPBACK}:{port}/readyz")
        yield Part(f"http://{LOOPBACK}:{port}", child.pid)
    finally:
        child.stop()


def without_livekit() -> dict[str, str]:
    """This process' environment with no LiveKit configured, so that one is started."""
    return {key: value for key, value in os.environ.items() if not key.startswith("LIVEKIT_")}
