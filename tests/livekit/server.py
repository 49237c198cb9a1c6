"""A real livekit-server, with a real Redis behind it where trunks and rules are to be kept."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.livekit_binary import NoLiveKit, find_or_build
from gateway.tools.dev.livekit_server import LiveKitServer
from gateway.tools.dev.processes import Process
from gateway.tools.dev.stack import READY_LIMIT, wait_until_up
from tests.conftest import skip_unless_ci
from tests.ports import free_port

#: Redis writes nothing to disk. A replica has its master's data at once, not after 5 s.
IN_MEMORY = ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")


@contextmanager
def livekit_server(*, webhook_port: int = 9, redis: str = "") -> Iterator[LiveKitServer]:
    """One that is up; `redis` is an address. Without it there is no SIP."""
    try:
        binary = find_or_build()
    except NoLiveKit as error:
        skip_unless_ci(str(error))
    webhook_url = f"http://{LOOPBACK}:{webhook_port}/livekit/webhook"
    server = LiveKitServer(binary, free_port(), free_port(), free_port(), webhook_url)
    settings = json.loads(server.env["LIVEKIT_CONFIG"])
    if redis:
        settings["redis"] = {"address": redis}
    child = Process(
        "livekit", server.command, os.environ | {"LIVEKIT_CONFIG": json.dumps(settings)}
    )
    try:
        wait_until_up(child, server.url.replace("ws:", "http:"))
        yield server
    finally:
        child.stop()


@contextmanager
def redis_server(*options: str, port: int | None = None) -> Iterator[str]:
    """The address of one that keeps nothing on disk; `options` may say otherwise."""
    port = free_port() if port is None else port
    place = "--bind", LOOPBACK, "--port", str(port)
    # Two that replicate write a file, all the same.
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_process(*place, *IN_MEMORY, "--dir", folder, *options),
    ):
        yield f"{LOOPBACK}:{port}"


@contextmanager
def redis_process(*options: str, ready: str = "Ready to accept connections") -> Iterator[Process]:
    """One that is up, as its `options` say."""
    if not shutil.which("redis-server"):
        skip_unless_ci("several gateways and LiveKit's trunks need Redis: install redis-server")
    child = Process("redis", ["redis-server", *options], os.environ)
    try:
        child.wait_for(ready, limit=READY_LIMIT)
        yield child
    finally:
        child.stop()
