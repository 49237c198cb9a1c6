"""Real parts, started once: livekit-server, the worker, the gateway as a process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest

from gateway.config.loader import build_config, own_keys
from gateway.config.settings import Config
from gateway.security.api_keys import OwnKeys
from gateway.tools.dev.livekit_binary import NoLiveKit, find_or_build
from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import WORKER, running, wait_until_up
from tests.conftest import READ_KEY, WEBHOOK_SECRET, skip_unless_ci
from tests.ports import free_port


@dataclass(frozen=True)
class Real:
    """What runs, the configuration that reaches it, and `env`, which has all of that in it."""

    config: Config
    keys: OwnKeys
    worker: Process
    gateway: Process
    env: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.config.own_url


@contextmanager
def real_parts(worker: Sequence[str] = WORKER, **settings: str) -> Iterator[Real]:
    """LiveKit, gateway and `worker`, ready for calls; `settings` as environment variables."""
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("LIVEKIT_")},
        "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "GATEWAY_API_KEYS": f"ops:read:{READ_KEY}",
        "PORT": str(free_port()),
        "GATEWAY__MONITOR__INTERVAL": "0.1",
        **settings,
    }
    config = build_config({}, env)
    with (
        TemporaryDirectory() as spool,
        running(config, {"AGENT_SPOOL": spool, **env}, worker=worker) as stack,
    ):
        reached = build_config({}, stack.env)
        keys = own_keys(reached, stack.env)
        parts = stack.processes
        yield Real(reached, keys, parts["worker"], parts["gateway"], stack.env)


@contextmanager
def killed(real: Real) -> Iterator[Callable[[], None]]:
    """The gateway killed with -9; what is yielded starts another one in its place."""
    os.kill(real.gateway.pid, signal.SIGKILL)
    real.gateway.stop()
    with ExitStack() as stops:

        def start() -> None:
            again = Process("gateway again", python("-m", "gateway", "serve"), real.env)
            stops.callback(again.stop)
            wait_until_up(again, f"{real.url}/healthz")

        yield start


@pytest.fixture(scope="session")
def livekit_binary(server_process: None) -> Path:
    try:
        return find_or_build()
    except NoLiveKit as error:
        skip_unless_ci(str(error))


@pytest.fixture(scope="session")
def real(livekit_binary: Path) -> Iterator[Real]:
    with real_parts() as parts:
        yield parts


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


async def call_once(
    http: aiohttp.ClientSession, url: str, wanted: Callable[[Any], bool], *, limit: float, key: str
) -> Any:
    """The call at `url`, once it is as `wanted`; how it stands after `limit` s if it never is."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit
    while True:
        async with http.get(url, headers={"X-API-Key": key}) as answer:
            call = await answer.json()
        if wanted(call) or loop.time() > deadline:
            return call
        await asyncio.sleep(0.05)
