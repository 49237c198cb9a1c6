"""A gateway that cannot write its log: it starts, takes calls, counts what is lost, and stops."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import wait_until_up
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import READ_KEY, WEBHOOK_SECRET
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit
from tests.ports import free_port


@pytest.fixture
def full_log(fake_livekit: FakeLiveKit, tmp_path: Path) -> Iterator[tuple[Process, str]]:
    """A gateway whose standard error is a full disk, and its URL."""
    port = free_port()
    env = {
        **os.environ,
        "PORT": str(port),
        "LIVEKIT_URL": fake_livekit.url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "LIVEKIT_SIP_HOST": "sip.example.com",
        "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "GATEWAY_API_KEYS": f"ops:read:{READ_KEY}",
        "GATEWAY__LOGGING__LEVEL": "debug",
        "PYTHONPATH": str(Path.cwd()),
    }
    command = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *python("-m", "gateway", "serve")]
    process = Process("gateway", command, env, cwd=str(tmp_path))
    try:
        yield process, f"http://{LOOPBACK}:{port}"
    finally:
        process.stop()


@pytest.mark.server
@pytest.mark.field("D11")
async def test_a_full_disk_fails_no_call(full_log: tuple[Process, str]) -> None:
    process, url = full_log
    await asyncio.to_thread(wait_until_up, process, f"{url}/healthz")
    async with aiohttp.ClientSession() as http:
        jambonz = Jambonz(http, url, WEBHOOK_SECRET, "+15550100", "+15550199")
        (dial,) = await jambonz.call_arrives()
        assert dial["verb"] == "dial"
        async with asyncio.timeout(10):
            while not await lines_lost(http, url):
                await asyncio.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    assert await asyncio.to_thread(psutil.Process(process.pid).wait, 30) == 0


async def lines_lost(http: aiohttp.ClientSession, url: str) -> int:
    headers = {"X-API-Key": READ_KEY}
    async with http.get(f"{url}/livekit-api/diagnostics", headers=headers) as response:
        return int((await response.json())["log_lines_lost"])
