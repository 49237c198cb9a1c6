"""How a gateway's process ends by SIGTERM or SIGINT, and by a second one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.tools.dev.processes import Process
from gateway.tools.dev.stack import wait_until_up
from gateway.tools.simulate.jambonz import Jambonz
from tests.api.test_dispatch import LEAST
from tests.conftest import DISPATCH_KEY, WEBHOOK_SECRET
from tests.fakes.livekit import KEY, SECRET, Callee, FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.gateway_process import GatewayProcess
from tests.ports import free_port

LIMIT = 30.0
HEADERS = {"X-API-Key": DISPATCH_KEY}


class Gateway:
    """A gateway as a process, with the fake LiveKit."""

    def __init__(self, process: GatewayProcess, url: str, http: aiohttp.ClientSession) -> None:
        self.process = process
        self.url = url
        self.http = http

    def send_signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        os.kill(self.process.pid, number)

    async def wait_for_log(self, text: str) -> None:
        await asyncio.to_thread(self.process.wait_for, text, limit=LIMIT)

    async def exit_code(self) -> int:
        async with asyncio.timeout(LIMIT):
            return await self.process.ended()

    async def wait_until_closed(self) -> None:
        """Wait until it accepts no connections."""
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
        ) as response:
            return response.status, await response.json()

    async def hang_up(self, call_id: str) -> None:
        url = f"{self.url}/livekit-api/calls/{call_id}/hangup"
        async with self.http.post(url, headers=HEADERS) as response:
            assert response.status == 200


Starter = Callable[..., Awaitable[Gateway]]


@pytest.fixture
def processes(server_process: None) -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.stop()


@pytest.fixture
async def start(
    fake_livekit: FakeLiveKit, tmp_path: Path, processes: list[Process]
) -> AsyncIterator[Starter]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT)) as http:

        async def start(**settings: str) -> Gateway:
            port = free_port()
            env = {
                "PATH": os.environ["PATH"],
                "HISTORY_URL": os.environ["HISTORY_URL"],
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
            process = GatewayProcess("gateway", ["--config", str(config), "serve"], env)
            processes.append(process)
            url = f"http://127.0.0.1:{port}"
            await asyncio.to_thread(wait_until_up, process, f"{url}/readyz")
            return Gateway(process, url, http)

        yield start


async def wait_until_ringing(livekit: FakeLiveKit) -> None:
    async with asyncio.timeout(LIMIT):
        while not any(method == "CreateSIPParticipant" for method, _ in livekit.requests):
            await asyncio.sleep(0.01)


async def test_a_draining_gateway_is_not_ready_and_still_serves(start: Starter) -> None:
    gateway = await start(server__drain_delay="4")
    gateway.send_signal()
    await gateway.wait_for_log("gateway.draining")
    async with gateway.http.get(f"{gateway.url}/readyz") as response:
        assert response.status == 503
        assert (await response.json())["checks"]["draining"] == "draining"
    jambonz = Jambonz(gateway.http, gateway.url, WEBHOOK_SECRET, "+15550100", "+15550199")
    assert (await jambonz.call_arrives())[0]["verb"] == "dial"
    assert await gateway.exit_code() == 0


async def test_a_dispatch_that_waits_gets_its_response_before_the_gateway_ends(
    start: Starter, fake_livekit: FakeLiveKit
) -> None:
    rings = asyncio.Event()
    fake_livekit.callees[LEAST["destination"]] = Callee(rings=rings)
    gateway = await start()
    dispatch = asyncio.create_task(gateway.dispatch(wait="answer"))
    await wait_until_ringing(fake_livekit)
    gateway.send_signal()
    await gateway.wait_for_log("gateway.draining")
    await gateway.wait_until_closed()
    assert not dispatch.done()
    rings.set()
    status, content = await dispatch
    assert (status, content["call_status"]) == (200, "ongoing")
    assert await gateway.exit_code() == 0


async def test_a_request_that_does_not_finish_is_dropped_after_the_timeout(
    start: Starter, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees[LEAST["destination"]] = Callee(rings=asyncio.Event())
    gateway = await start(server__finish_timeout="0.5")
    dispatch = asyncio.create_task(gateway.dispatch(wait="answer"))
    await wait_until_ringing(fake_livekit)
    gateway.send_signal()
    with pytest.raises(aiohttp.ClientError):
        await dispatch
    assert await gateway.exit_code() == 0


async def test_a_callback_in_flight_is_delivered(start: Starter, receiver: Receiver) -> None:
    receiver.hang_until = asyncio.Event()
    gateway = await start(callbacks__flush_timeout="20")
    _, call = await gateway.dispatch(callback_url=receiver.url, callback_events=["call_ended"])
    await gateway.hang_up(call["call_id"])
    await receiver.received(1)
    gateway.send_signal()
    await gateway.wait_for_log("gateway.draining")
    receiver.hang_until.set()
    assert await gateway.exit_code() == 0
    assert receiver.events == ["call_ended"]
    assert not any("callback.lost" in line for line in gateway.process.lines)


async def test_a_receiver_that_does_not_respond_is_dropped_after_the_timeout(
    start: Starter, receiver: Receiver
) -> None:
    receiver.hang_until = asyncio.Event()
    gateway = await start(callbacks__flush_timeout="0.2", callbacks__timeout="60")
    _, call = await gateway.dispatch(callback_url=receiver.url)
    await gateway.hang_up(call["call_id"])
    await receiver.received(1)
    gateway.send_signal()
    assert await gateway.exit_code() == 0
    assert any("callback.lost" in line for line in gateway.process.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stage", ["drains", "finishes", "flushes"])
async def test_a_second_signal_ends_the_process_at_any_stage(
    start: Starter,
    fake_livekit: FakeLiveKit,
    receiver: Receiver,
    stage: str,
    number: signal.Signals,
) -> None:
    forever = "300"
    receiver.hang_until = asyncio.Event()
    fake_livekit.callees["61402012299"] = Callee(rings=asyncio.Event())
    gateway = await start(
        server__drain_delay=forever if stage == "drains" else "0",
        server__finish_timeout=forever,
        callbacks__flush_timeout=forever,
    )
    _, call = await gateway.dispatch(callback_url=receiver.url)
    await gateway.hang_up(call["call_id"])
    await receiver.received(1)
    if stage == "finishes":
        fake_livekit.requests.clear()
        request = {"destination": "61402012299", "wait": "answer"}
        dispatch = asyncio.create_task(gateway.dispatch(**request))
        await wait_until_ringing(fake_livekit)
    gateway.send_signal(number)
    await gateway.wait_for_log("gateway.draining")
    gateway.send_signal(number)
    assert await gateway.exit_code() == -number
    if stage == "finishes":
        with pytest.raises(aiohttp.ClientError):
            await dispatch
