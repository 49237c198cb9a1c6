"""A worker that is replaced: the calls that it has go on to their end."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from gateway.tools.simulate.model_server import ModelServer
from tests.livekit.conftest import RealServers, real_servers
from tests.voice.conftest import ASKS_DAY, BOOKED, GREETING, Dial, EndedCall

LIMIT = 30.0


@pytest.fixture(params=["process", "thread"])
def real(
    request: pytest.FixtureRequest, livekit_binary: Path, settings: dict[str, str]
) -> Iterator[RealServers]:
    """Servers of its own: their worker ends."""
    with real_servers(**settings, AGENT_JOBS=request.param) as servers:
        yield servers


async def test_a_call_outlives_the_order_to_stop(
    real: RealServers,
    models: ModelServer,
    dial: Dial,
    ended_call: EndedCall,
    http: aiohttp.ClientSession,
) -> None:
    worker = psutil.Process(real.worker.pid)
    async with dial() as telephone:
        await telephone.hears_out(GREETING)
        os.kill(worker.pid, signal.SIGTERM)
        await telephone.says("book")
        await telephone.hears_out(ASKS_DAY)
        health = f"http://127.0.0.1:{real.env['AGENT_HTTP_PORT']}/"
        async with http.get(health) as response:
            assert (response.status, await response.text()) == (503, "stopping")
        await telephone.says("tomorrow")
        await telephone.hears_out(BOOKED)
        assert worker.is_running()
    call = await ended_call(telephone)
    assert call["disconnection_reason"] == "user_hangup"
    worker.wait(LIMIT)
