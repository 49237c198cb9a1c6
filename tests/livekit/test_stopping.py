"""What a stopping gateway still does, as a process: SIGTERM, and SIGTERM again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import wait_until_up
from gateway.tools.simulate.jambonz import Jambonz
from tests.api.test_dispatch import LEAST
from tests.conftest import DISPATCH_KEY, WEBHOOK_SECRET
from tests.fakes.livekit import KEY, SECRET, Callee, FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.ports import free_port

LIMIT = 30.0
HEADERS = {"X-API-Key": DISPATCH_KEY}


class Gateway:
    """A gateway of its own in front of the fake LiveKit."""

    def __init__(self, child: Process, url: str, http: aiohttp.ClientSession) -> None:
        self.child = child
        self.url = url
        self.http = http

    def tell(self, number: signal.Signals = signal.SIGTERM) -> None:
        os.kill(self.child.pid, number)

    async def says(self, text: str) -> None:
        await asyncio.to_thread(self.child.wait_for, text, limit=LIMIT)

    async def exit_code(self) -> int:
        async with asyncio.timeout(LIMIT):
            return await asyncio.to_thread(psutil.Process(self.child.pid).wait, LIMIT)

    async def is_deaf(self) -> None:
        """Wait until it takes no connections any more."""
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    async with aiohttp.request("GET", f"{self.url}/healthz"):
                        await asyncio.sleep(0.01)
                except aiohttp.ClientConnectionError:
                    return

    async def dispatch(self, **more: Any) -> tuple[int, dict[str, Any]]:
        async with self.http.post(
            f"{self.url}/dispatch", json={**LEAST, **more}, headers=HEADERS
        ) as answer:
            return answer.status, await answer.json()

    async def hang_up(self, call_id: str) -> None:
        url = f"{self.url}/livekit-api/calls/{call_id}/hangup"
        async with self.http.post(url, headers=HEADERS) as answer:
            assert answer.status == 200


Starter = Callable[..., Awaitable[Gateway]]


@pytest.fixture
def processes(server_process: None) -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for child in started:
        child.stop()


@pytest.fixture
async def start(
    fake_livekit: FakeLiveKit, tmp_path: Path, processes: list[Process]
) -> AsyncIterator[Starter]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT)) as http:

        async def start(**settings: str) -> Gateway:
            port = free_port()
            env = {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "LIVEKIT_URL": fake_livekit.url,
                "LIVEKIT_API_KEY": KEY,
                "LIVEKIT_API_SECRET": SECRET,
                "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
                "GATEWAY_API_KEYS": f"n8n:dispatch:{DISPATCH_KEY}",
                "SIP_OUTBOUND_TRUNK_ID": "ST_1",
                "PORT": str(port),
                "GATEWAY__CALLBACKS__ALLOWED_HOSTS": "127.0.0.1",
                **{f"GATEWAY__{name}".upper(): value for name, value in settings.items()},
            }
            config = tmp_path / "config.yaml"
            config.touch()
            command = python("-m", "gateway", "--config", str(config), "serve")
            child = Process("gateway", command, env)
            processes.append(child)
            url = f"http://127.0.0.1:{port}"
            await asyncio.to_thread(wait_until_up, child, f"{url}/readyz")
            return Gateway(child, url, http)

        yield start


async def ringing(fake: FakeLiveKit) -> None:
    async with asyncio.timeout(LIMIT):
        while not any(method == "CreateSIPParticipant" for method, _ in fake.requests):
            await asyncio.sleep(0.01)


async def test_while_it_drains_it_is_not_ready_and_serves_on(start: Starter) -> None:
    process = await start(server__drain_delay="3")
    process.tell()
    await process.says("gateway.draining")
    async with process.http.get(f"{process.url}/readyz") as answer:
        assert answer.status == 503
        assert (await answer.json())["checks"]["draining"] == "draining"
    jambonz = Jambonz(process.http, process.url, WEBHOOK_SECRET, "+15550100", "+15550199")
    assert (await jambonz.call_arrives())[0]["verb"] == "dial"
    assert await process.exit_code() == 0


async def test_a_dispatch_that_waits_is_answered_before_it_goes(
    start: Starter, fake_livekit: FakeLiveKit
) -> None:
    rings = asyncio.Event()
    fake_livekit.callees[LEAST["destination"]] = Callee(rings=rings)
    process = await start()
    asking = asyncio.create_task(process.dispatch(wait="answer"))
    await ringing(fake_livekit)
    process.tell()
    await process.says("gateway.draining")
    await process.is_deaf()
    assert not asking.done()
    rings.set()
    status, answer = await asking
    assert (status, answer["call_status"]) == (200, "ongoing")
    assert await process.exit_code() == 0


async def test_a_request_without_an_end_does_not_hold_it(
    start: Starter, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees[LEAST["destination"]] = Callee(rings=asyncio.Event())
    process = await start(server__finish_timeout="0.5")
    asking = asyncio.create_task(process.dispatch(wait="answer"))
    await ringing(fake_livekit)
    process.tell()
    with pytest.raises(aiohttp.ClientError):
        await asking
    assert await process.exit_code() == 0


async def test_a_callback_under_way_arrives(start: Starter, receiver: Receiver) -> None:
    receiver.hang_until = asyncio.Event()
    process = await start(callbacks__flush_timeout="20")
    _, call = await process.dispatch(callback_url=receiver.url, callback_events=["call_ended"])
    await process.hang_up(call["call_id"])
    await receiver.received(1)
    process.tell()
    await process.says("gateway.draining")
    receiver.hang_until.set()
    assert await process.exit_code() == 0
    assert receiver.events == ["call_ended"]
    assert not any("callback.lost" in line for line in process.child.lines)


async def test_a_receiver_that_hangs_does_not_hold_it(start: Starter, receiver: Receiver) -> None:
    receiver.hang_until = asyncio.Event()
    process = await start(callbacks__flush_timeout="0.2", callbacks__timeout="60")
    _, call = await process.dispatch(callback_url=receiver.url)
    await process.hang_up(call["call_id"])
    await receiver.received(1)
    process.tell()
    assert await process.exit_code() == 0
    assert any("callback.lost" in line for line in process.child.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stage", ["drains", "finishes", "flushes"])
async def test_the_second_signal_ends_it_at_any_stage(
    start: Starter,
    fake_livekit: FakeLiveKit,
    receiver: Receiver,
    stage: str,
    number: signal.Signals,
) -> None:
    forever = "300"
    receiver.hang_until = asyncio.Event()
    fake_livekit.callees["61402012299"] = Callee(rings=asyncio.Event())
    process = await start(
        server__drain_delay=forever if stage == "drains" else "0",
        server__finish_timeout=forever,
        callbacks__flush_timeout=forever,
    )
    _, call = await process.dispatch(callback_url=receiver.url)
    await process.hang_up(call["call_id"])
    await receiver.received(1)
    if stage == "finishes":
        fake_livekit.requests.clear()
        order = {"destination": "61402012299", "wait": "answer"}
        asking = asyncio.create_task(process.dispatch(**order))
        await ringing(fake_livekit)
    process.tell(number)
    await process.says("gateway.draining")
    process.tell(number)
    assert await process.exit_code() == -number
    if stage == "finishes":
        with pytest.raises(aiohttp.ClientError):
            await asking
