"""Real servers as processes: livekit-server, the worker and the gateway."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import aiohttp
import pytest

from gateway.config.loader import build_config, own_keys
from gateway.config.settings import Config
from gateway.security.api_keys import OwnKeys
from gateway.tools.dev import stack as dev_stack
from gateway.tools.dev.livekit_binary import NoLiveKit, find_or_build
from gateway.tools.dev.processes import Process
from gateway.tools.dev.stack import WORKER, running, wait_until_up
from tests.conftest import DISPATCH_KEY, READ_KEY, WEBHOOK_SECRET, skip_unless_ci
from tests.gateway_process import GatewayProcess
from tests.ports import free_port


@dataclass(frozen=True)
class RealServers:
    """The processes, the configuration with which clients reach them, and `env`, which holds it."""

    config: Config
    keys: OwnKeys
    worker: Process
    gateway: Process
    env: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.config.own_url


#: Of a gateway whose agent plays the dial, for there is no SIP.
DIALED_BY_AGENT = {
    "GATEWAY__OUTBOUND__DIALED_BY": "agent",
    "GATEWAY__OUTBOUND__EARLY_FAILURE_WINDOW": "0",
    # A loaded machine starts an agent in seconds.
    "GATEWAY__OUTBOUND__AGENT_TIMEOUT": "20",
    "GATEWAY__CALLBACKS__ALLOWED_HOSTS": "127.0.0.1",
}
#: Of servers whose lines are read.
LOGGED = {"GATEWAY__LOGGING__FORMAT": "json", "GATEWAY__LOGGING__LEVEL": "debug"}


@contextmanager
def real_servers(worker: Sequence[str] = WORKER, **settings: str) -> Iterator[RealServers]:
    """LiveKit, gateway and `worker`, ready for calls; `settings` are environment variables."""
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("LIVEKIT_")},
        "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "GATEWAY_API_KEYS": f"ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY}",
        "PORT": str(free_port()),
        "GATEWAY__MONITOR__INTERVAL": "0.1",
        **settings,
    }
    config = build_config({}, env)
    with (
        mock.patch.object(dev_stack, "LIVEKIT_PORT", free_port()),
        TemporaryDirectory() as spool,
        running(config, {"AGENT_SPOOL": spool, **env}, worker=worker) as stack,
    ):
        config = build_config({}, stack.env)
        keys = own_keys(config, stack.env)
        processes = stack.processes
        yield RealServers(config, keys, processes["worker"], processes["gateway"], stack.env)


@contextmanager
def gateway_killed(real: RealServers) -> Iterator[Callable[[], None]]:
    """Kills the gateway by SIGKILL; yields a function that starts another one in its place."""
    os.kill(real.gateway.pid, signal.SIGKILL)
    real.gateway.stop()
    with ExitStack() as stops:

        def start() -> None:
            gateway = GatewayProcess("new gateway", ["serve"], real.env)
            stops.callback(gateway.stop)
            wait_until_up(gateway, f"{real.url}/healthz")

        yield start


@contextmanager
def another_gateway(real: RealServers, **settings: str) -> Iterator[RealServers]:
    """One more, with the LiveKit and the worker of `real`; LiveKit's webhooks do not reach it."""
    env = {**real.env, "PORT": str(free_port()), **settings}
    config = build_config({}, env)
    gateway = GatewayProcess("another gateway", ["serve"], env)
    try:
        wait_until_up(gateway, f"{config.own_url}/readyz")
        yield replace(real, config=config, gateway=gateway, env=env)
    finally:
        gateway.stop()


@pytest.fixture(scope="session")
def livekit_binary(server_process: None) -> Path:
    try:
        return find_or_build()
    except NoLiveKit as error:
        skip_unless_ci(str(error))


@pytest.fixture(scope="session")
def real(livekit_binary: Path) -> Iterator[RealServers]:
    """LiveKit, gateway and worker for all tests of a folder."""
    with real_servers(**DIALED_BY_AGENT) as servers:
        yield servers


@pytest.fixture(scope="session")
def logged(livekit_binary: Path) -> Iterator[RealServers]:
    """Others, which log all there is to log, as JSON."""
    with real_servers(**LOGGED) as servers:
        yield servers


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


async def wait_for_call(
    http: aiohttp.ClientSession,
    url: str,
    condition: Callable[[Any], bool],
    *,
    limit: float,
    key: str,
) -> Any:
    """What `url` returns, once that meets `condition`, or after `limit` s in any case."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit
    while True:
        async with http.get(url, headers={"X-API-Key": key}) as response:
            content = await response.json()
        if condition(content) or loop.time() > deadline:
            return content
        await asyncio.sleep(0.05)
