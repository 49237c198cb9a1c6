"""Real telephony, started once (see servers.py), and its clients.

Skipped, in CI too, where livekit-sip is not on PATH: there are no packages of it.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import aiohttp
import pytest

from gateway.livekit.client import LiveKit
from gateway.tools.dev.livekit_binary import NoLiveKit, find_or_build
from gateway.tools.dev.processes import Process
from gateway.tools.dev.stack import READY_LIMIT, WORKER, WORKER_READY
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.recognizer import Recognize
from tests.conftest import DISPATCH_KEY
from tests.livekit.conftest import wait_for_call
from tests.ports import free_port
from tests.sip.network import NoNetwork, network
from tests.sip.servers import Telephony, running_telephony
from tests.voice.conftest import AGENTS_FILE, RECEPTIONIST, model_port, recognize, voice_env

__all__ = ["model_port", "recognize"]

#: The agent name of the worker with the voice pipeline.
VOICE_AGENT = "receptionist"
NEEDED = ("livekit-sip", "redis-server", "sipp", "ip", "openssl")
#: How long any step of a test may take, in s.
LIMIT = 20.0


@pytest.fixture(scope="session")
def telephony(server_process: None) -> Iterator[Telephony]:
    with _telephony() as telephony:
        yield telephony


@pytest.fixture
def single_gateway(server_process: None) -> Iterator[Telephony]:
    """One gateway, which a test may kill, and a LiveKit that creates a room for each INVITE."""
    with _telephony(single_gateway=True) as telephony:
        yield telephony


@contextmanager
def _telephony(*, single_gateway: bool = False) -> Iterator[Telephony]:
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        pytest.skip(f"real telephony needs {', '.join(missing)} on PATH")
    with ExitStack() as stack:
        try:
            livekit_binary = find_or_build()
            net = stack.enter_context(network())
        except NoLiveKit as error:
            pytest.skip(str(error))
        except NoNetwork as error:
            pytest.skip(f"real telephony needs a network namespace, thus root: {error}")
        yield stack.enter_context(
            running_telephony(livekit_binary, net, single_gateway=single_gateway)
        )


@pytest.fixture
async def room_gateway(telephony: Telephony) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the gateway with the strategy `room`; it may dispatch calls."""
    async with client_of(telephony.real.url) as session:
        yield session


@pytest.fixture
async def participant_gateway(telephony: Telephony) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the gateway with the strategy `participant`."""
    async with client_of(telephony.participant_url) as session:
        yield session


@pytest.fixture
async def livekit(telephony: Telephony) -> AsyncIterator[LiveKit]:
    async with telephony.livekit() as client:
        yield client


@pytest.fixture(scope="session")
def voice_worker(
    telephony: Telephony, model_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """A worker with the voice pipeline beside that of the line test."""
    recordings = tmp_path_factory.mktemp("recordings")
    env = {
        **telephony.real.env,
        **voice_env(model_port, AGENTS_FILE, recordings),
        "LIVEKIT_AGENT_NAME": VOICE_AGENT,
        "AGENT_HTTP_PORT": str(free_port()),
    }
    worker = Process("voice worker", WORKER, env)
    try:
        worker.wait_for(WORKER_READY, limit=READY_LIMIT)
        yield worker
    finally:
        worker.stop()


@pytest.fixture
async def models(
    recognize: Recognize, model_port: int, voice_worker: Process
) -> AsyncIterator[ModelServer]:
    """The models of that worker's calls."""
    async with ModelServer(RECEPTIONIST, recognize).serving(model_port) as server:
        yield server


def client_of(gateway_url: str) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=60)
    return aiohttp.ClientSession(gateway_url, headers={"X-API-Key": DISPATCH_KEY}, timeout=timeout)


async def call_when(
    gateway: aiohttp.ClientSession, call_id: str, condition: Callable[[Any], bool]
) -> Any:
    """The call once it meets `condition`, see `wait_for_call`."""
    url = f"/livekit-api/calls/{call_id}"
    return await wait_for_call(gateway, url, condition, limit=LIMIT, key=DISPATCH_KEY)


async def ended_call(gateway: aiohttp.ClientSession, call_id: str) -> Any:
    return await call_when(gateway, call_id, lambda call: call["end_timestamp"])


async def hang_up(gateway: aiohttp.ClientSession, call_id: str) -> Any:
    async with gateway.post(f"/livekit-api/calls/{call_id}/hangup") as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def wait_until_empty(livekit: LiveKit, room: str) -> None:
    """Wait until `room` has no participants."""
    async with asyncio.timeout(LIMIT):
        while await livekit.participants(room):
            await asyncio.sleep(0.05)


async def wait_until_deleted(livekit: LiveKit, room: str) -> None:
    """Wait until LiveKit does not list `room` any more; it refuses the INVITE a little earlier."""
    async with asyncio.timeout(LIMIT):
        while await livekit.rooms(room):
            await asyncio.sleep(0.05)
