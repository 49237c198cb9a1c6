"""A real livekit-server and real Redis servers, for the duration of a context."""

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

#: Redis writes nothing to disk but what a replica gets at first: without a file the replica would
#: get that after 5 s, and the writes that follow up to 1 s late.
IN_MEMORY = ("--save", "", "--appendonly", "no", "--repl-diskless-sync", "no")


@contextmanager
def livekit_server(*, webhook_port: int = 9, redis: str = "") -> Iterator[LiveKitServer]:
    """A LiveKit that accepts requests. Without the address of a `redis` it has no SIP."""
    try:
        binary = find_or_build()
    except NoLiveKit as error:
        skip_unless_ci(str(error))
    webhook_url = f"http://{LOOPBACK}:{webhook_port}/livekit/webhook"
    server = LiveKitServer(binary, free_port(), free_port(), free_port(), webhook_url)
    settings = json.loads(server.env["LIVEKIT_CONFIG"])
    if redis:
        settings["redis"] = {"address": redis}
    env = os.environ | {"LIVEKIT_CONFIG": json.dumps(settings)}
    process = Process("livekit", server.command, env)
    try:
        wait_until_up(process, server.url.replace("ws:", "http:"))
        yield server
    finally:
        process.stop()


@contextmanager
def redis_server(*options: str, port: int | None = None) -> Iterator[str]:
    """The address of a Redis that keeps its data in memory, unless `options` say otherwise."""
    port = free_port() if port is None else port
    place = "--bind", LOOPBACK, "--port", str(port)
    # A master and its replica write a file all the same.
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_process(*place, *IN_MEMORY, "--dir", folder, *options),
    ):
        yield f"{LOOPBACK}:{port}"


@contextmanager
def redis_process(*options: str, ready: str = "Ready to accept connections") -> Iterator[Process]:
    """A Redis with these `options` that accepts connections."""
    if not shutil.which("redis-server"):
        skip_unless_ci("several gateways and LiveKit's trunks need Redis: install redis-server")
    process = Process("redis", ["redis-server", *options], os.environ)
    try:
        process.wait_for(ready, limit=READY_LIMIT)
        yield process
    finally:
        process.stop()
