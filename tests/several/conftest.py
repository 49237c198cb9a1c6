"""nginx, two gateways, a Redis: real ones; LiveKit and whoever hears callbacks are the test's."""

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
from tests.several.nginx import Running, written


@pytest.fixture(scope="session")
def redis(server_process: None) -> Iterator[str]:
    """The address of a real Redis."""
    with redis_server() as address:
        yield address


@pytest.fixture
async def group(
    redis: str, fake_livekit: FakeLiveKit, receiver: Receiver, tmp_path: Path
) -> AsyncIterator[Group]:
    nginx = written(tmp_path, (free_port(), free_port()))
    env = environment(nginx.url, redis, fake_livekit, receiver)
    gateways = (Gateway(nginx.gateways[0], env), Gateway(nginx.gateways[1], env))
    async with AsyncExitStack() as stack:
        # A new connection each: to lose one that lies idle is a client's own affair.
        connector = aiohttp.TCPConnector(ssl=nginx.trust, force_close=True)
        timeout = aiohttp.ClientTimeout(total=10)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=timeout)
        )
        for gateway in gateways:
            stack.push_async_callback(asyncio.to_thread, gateway.stop)
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        running = await asyncio.to_thread(Running, nginx)
        stack.push_async_callback(asyncio.to_thread, running.stop)
        yield Group(running, gateways, fake_livekit, receiver, http)
