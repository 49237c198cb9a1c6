"""Real nginx, Redis and two gateways; LiveKit and the callback receiver are fakes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.livekit import FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.livekit.server import redis_server
from tests.ports import free_port
from tests.several.group import Gateway, Group, environment
from tests.several.nginx import Nginx, configured_nginx


@pytest.fixture(scope="session")
def redis(server_process: None) -> Iterator[str]:
    """The address of a real Redis."""
    with redis_server() as address:
        yield address


@pytest.fixture
async def group(
    redis: str, fake_livekit: FakeLiveKit, receiver: Receiver, tmp_path: Path
) -> AsyncIterator[Group]:
    config = configured_nginx(tmp_path, (free_port(), free_port()))
    env = environment(config.url, redis, fake_livekit, receiver)
    gateways = (Gateway(config.gateways[0], env), Gateway(config.gateways[1], env))
    async with AsyncExitStack() as stack:
        # Each request has a new connection: an idle one may be closed while a client uses it.
        connector = aiohttp.TCPConnector(ssl=config.trust, force_close=True)
        timeout = aiohttp.ClientTimeout(total=10)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=timeout)
        )
        for gateway in gateways:
            stack.push_async_callback(asyncio.to_thread, gateway.stop)
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        nginx = await asyncio.to_thread(Nginx, config)
        stack.push_async_callback(asyncio.to_thread, nginx.stop)
        yield Group(nginx, gateways, fake_livekit, receiver, http)
