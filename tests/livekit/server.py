"""A real livekit-server, with a real Redis behind it where trunks and rules are to be kept."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.dev.children import Child
from gateway.dev.livekit_server import (
    LiveKitServer,
    NoLiveKit,
    find_or_build,
    free_port,
    local_server,
)
from gateway.dev.stack import READY_LIMIT, wait_until_up
from gateway.settings import LOOPBACK
from tests.conftest import lacking

#: Nothing on disk, so that nothing is left.
IN_MEMORY = ("--save", "", "--appendonly", "no")


@contextmanager
def livekit_server(*, webhook_port: int = 9, redis: str = "") -> Iterator[LiveKitServer]:
    """One that is up; `redis` is an address. Without it there is no SIP."""
    try:
        binary = find_or_build(print)
    except NoLiveKit as error:
        lacking(str(error))
    server = local_server(binary, webhook_url=f"http://{LOOPBACK}:{webhook_port}/livekit/webhook")
    settings = json.loads(server.env["LIVEKIT_CONFIG"])
    if redis:
        settings["redis"] = {"address": redis}
    child = Child("livekit", server.command, os.environ | {"LIVEKIT_CONFIG": json.dumps(settings)})
    try:
        wait_until_up(child, server.url.replace("ws:", "http:"))
        yield server
    finally:
        child.stop()


@contextmanager
def redis_server() -> Iterator[str]:
    """The address of one that keeps nothing on disk."""
    if not shutil.which("redis-server"):
        lacking("LiveKit keeps trunks in Redis: install redis-server")
    port = free_port()
    command = ["redis-server", "--bind", LOOPBACK, "--port", str(port), *IN_MEMORY]
    child = Child("redis", command, os.environ)
    try:
        child.wait_for("Ready to accept connections", limit=READY_LIMIT)
        yield f"{LOOPBACK}:{port}"
    finally:
        child.stop()
