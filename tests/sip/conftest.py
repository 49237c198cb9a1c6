"""Real telephony, started once, and who uses it; what runs is in parts.py.

Skipped, also in CI, where livekit-sip is not on PATH: it is not to be had everywhere.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import aiohttp
import pytest

from gateway.livekit.client import LiveKit
from gateway.tools.dev.livekit_server import NoLiveKit, find_or_build
from tests.conftest import DISPATCH_KEY
from tests.livekit.conftest import call_once
from tests.sip.network import NoNetwork, network
from tests.sip.parts import Telephony, running

NEEDED = ("livekit-sip", "redis-server", "sipp", "ip")
#: How long anything that a test waits for may take, in s.
DEADLINE = 20.0


@pytest.fixture(scope="session")
def telephony(server_process: None) -> Iterator[Telephony]:
    with _telephony() as parts:
        yield parts


@pytest.fixture
def alone(server_process: None) -> Iterator[Telephony]:
    """One gateway, which may be killed, at a LiveKit that makes a room for each INVITE."""
    with _telephony(alone=True) as parts:
        yield parts


@contextmanager
def _telephony(*, alone: bool = False) -> Iterator[Telephony]:
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        pytest.skip(f"real telephony needs {', '.join(missing)} on PATH")
    with ExitStack() as parts:
        try:
            livekit_binary = find_or_build(print)
            net = parts.enter_context(network())
        except NoLiveKit as error:
            pytest.skip(str(error))
        except NoNetwork as error:
            pytest.skip(f"real telephony needs a network namespace, thus root: {error}")
        yield parts.enter_context(running(livekit_binary, net, alone=alone))


@pytest.fixture
async def n8n(telephony: Telephony) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the gateway that may dispatch."""
    async with client_of(telephony.real.url) as session:
        yield session


@pytest.fixture
async def ops(telephony: Telephony) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the gateway that parks callers."""
    async with client_of(telephony.parking_url) as session:
        yield session


@pytest.fixture
async def livekit(telephony: Telephony) -> AsyncIterator[LiveKit]:
    async with telephony.livekit() as client:
        yield client


def client_of(url: str) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=60)
    return aiohttp.ClientSession(url, headers={"X-API-Key": DISPATCH_KEY}, timeout=timeout)


async def shown(n8n: aiohttp.ClientSession, call_id: str, wanted: Callable[[Any], bool]) -> Any:
    """The call, once it is as `wanted`; see `call_once`."""
    url = f"/livekit-api/calls/{call_id}"
    return await call_once(n8n, url, wanted, limit=DEADLINE, key=DISPATCH_KEY)


async def hang_up(n8n: aiohttp.ClientSession, call_id: str) -> Any:
    async with n8n.post(f"/livekit-api/calls/{call_id}/hangup") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def emptied(livekit: LiveKit, room: str) -> None:
    """Wait until nobody is in `room` any more."""
    async with asyncio.timeout(DEADLINE):
        while await livekit.participants(room):
            await asyncio.sleep(0.05)
