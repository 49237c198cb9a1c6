"""A real worker whose gateway refuses its reports, or whose job's process is stopped."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent.diagnostic import GREETING
from gateway.config.settings import LOOPBACK
from gateway.explanation.explain import explain
from gateway.explanation.status import Status
from gateway.livekit.rooms import RoomRequest
from gateway.tools.dev.processes import python
from gateway.tools.simulate.caller import Caller, tone
from tests.conftest import READ_KEY
from tests.livekit.conftest import RealServers
from tests.livekit.test_whole_path import caller_in, events, get_call, jambonz_for, livekit_of
from tests.prometheus import Numbers

LIMIT = 30.0
#: How long a process is stopped, in s.
STOPPED = 8.0
#: An encoded JSON object begins so, and with it a token.
TOKEN = re.compile(r"eyJ[\w-]{8}")


@pytest.fixture
def real(logged: RealServers) -> RealServers:
    return logged


@asynccontextmanager
async def failing_gateway() -> AsyncIterator[str]:
    """The URL of reports that are answered with 503."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=503)

    app = web.Application()
    app.router.add_post("/report", refuse)
    async with TestServer(app) as server:
        yield str(server.make_url("/report"))


@pytest.mark.field("G1", "G6")
async def test_reports_that_fail_leave_nothing_private_in_what_the_worker_writes(
    real: RealServers,
) -> None:
    """Neither the transcript, nor the keys pressed, nor the token; and no warning of a library."""
    room = "call-with-failing-reports"
    async with failing_gateway() as url, livekit_of(real) as livekit:
        metadata = json.dumps({"gateway": {"call_id": room, "report_url": url}})
        agent = real.config.agent.name
        await livekit.create_room(RoomRequest(room, "{}", 30, agent, metadata))
        async with caller_in(real, room) as caller:
            await heard(caller)
            await caller.press("5#")
            await asyncio.to_thread(real.worker.wait_for, "key.pressed", limit=LIMIT)
        await asyncio.to_thread(real.worker.wait_for, "report.deferred", limit=LIMIT)
        await asyncio.to_thread(real.worker.wait_for, "report.not_accepted", limit=LIMIT)
        written = [line for line in real.worker.lines if room in line or "report." in line]
    text = "\n".join(real.worker.lines)
    assert any("report.deferred" in line for line in written)
    assert GREETING not in text
    assert "[key" not in text
    assert "Bearer" not in text
    assert not TOKEN.search(text)
    warnings = {
        line["event"]
        for line in map(json.loads, written)
        if line["level"] == "warning" and line["logger"].startswith("livekit")
    }
    # The machine may be too busy for the agent.
    assert {it for it in warnings if not it.startswith("event loop blocked")} == set()


@pytest.mark.field("H10")
async def test_a_call_whose_agent_was_stopped_for_a_while_is_not_ok(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    async with talk(real, http) as call_id:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in job_processes(real):
                os.kill(process.pid, number)
            if number is signal.SIGSTOP:
                await asyncio.sleep(3)
        await stalled(real, call_id)
    call: Any = await get_call(real, http, call_id, lambda c: c["report"])
    explanation = explain({"deliveries": [], **call}, now=call["end_timestamp"])
    assert explanation.status is Status.WARN, call["report"]
    assert "the agent was silent for " in explanation.cause


@pytest.mark.field("H10")
async def test_a_process_that_stands_still_is_told_by_call_page_doctor_and_numbers(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    """The gateway is told at once; the alert is tested in deploy/prometheus/tests.yaml."""
    before = (await numbers_of(real, http))[0]("gateway_agent_silences_total") or 0
    async with talk(real, http) as call_id:
        processes = job_processes(real)
        stopped_at = time.time() * 1000
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            call: Any = await get_call(real, http, call_id, lambda c: c["agent_silences"])
            assert call["call_status"] == "ongoing"
            (silence,) = call["agent_silences"]
            assert silence["at"] == pytest.approx(stopped_at, abs=1500)
            assert silence["duration_ms"] >= 5000
            assert call["conversation"]["verdict"] == "silent_agent"
            assert (await numbers_of(real, http))[0]("gateway_agent_silences_total") == before + 1
            await asyncio.sleep(max(0.0, stopped_at / 1000 + STOPPED - time.time()))
        finally:
            for process in processes:
                os.kill(process.pid, signal.SIGCONT)
        call = await get_call(real, http, call_id, lambda c: events(c).count("agent_silent") == 2)
    call = await get_call(real, http, call_id, lambda c: "agent_report" in events(c))
    (silence,) = call["agent_silences"]
    assert silence["duration_ms"] >= 7000
    assert call["conversation"]["verdict"] == "silent_agent"
    assert call["conversation"]["longest_silence_ms"] == silence["duration_ms"]
    explained = await doctor_explains(real, call_id)
    assert explained["status"] == "fail"
    seconds = silence["duration_ms"] / 1000
    assert f"the agent was silent for {seconds:.1f} s" in explained["cause"]
    said = [line["text"] for line in explained["said"]]
    assert f"agent: {GREETING}" in said
    assert f"--- the agent was silent for {seconds:.1f} s ---" in said
    page = await page_of(real, http, call_id)
    assert f"the agent was silent for {seconds:.1f} s" in page
    assert GREETING in page
    gateway, worker = await numbers_of(real, http)
    assert gateway("gateway_agent_silences_total") == before + 1
    assert (gateway("gateway_conversations_total", verdict="silent_agent") or 0) >= 1
    assert gateway("gateway_agent_silence_seconds_bucket", le="5.0") != gateway(
        "gateway_agent_silence_seconds_count"
    )
    assert (worker("worker_agent_silences_total", why="stood_still") or 0) >= 1


async def doctor_explains(real: RealServers, call_id: str) -> dict[str, Any]:
    """What `doctor --call` prints, as JSON."""
    command = python("-m", "gateway", "doctor", "--call", call_id, "--json")
    process = await asyncio.create_subprocess_exec(
        *command, env={**real.env}, stdout=asyncio.subprocess.PIPE
    )
    text, _ = await asyncio.wait_for(process.communicate(), LIMIT)
    explained: dict[str, Any] = json.loads(text)
    return explained


async def page_of(real: RealServers, http: aiohttp.ClientSession, call_id: str) -> str:
    """The call's page, as text."""
    url = f"{real.url}/calls/{call_id}"
    async with http.get(url, headers={"X-API-Key": READ_KEY}) as response:
        assert response.status == 200
        return await response.text()


async def numbers_of(real: RealServers, http: aiohttp.ClientSession) -> tuple[Numbers, Numbers]:
    """Of the gateway and of the worker."""
    worker = f"http://{LOOPBACK}:{real.env['AGENT_HTTP_PORT']}/metrics"
    pages = []
    for url in (f"{real.url}/metrics", worker):
        async with http.get(url, headers={"X-API-Key": READ_KEY}) as response:
            assert response.status == 200
            pages.append(Numbers(await response.text()))
    return pages[0], pages[1]


@asynccontextmanager
async def talk(real: RealServers, http: aiohttp.ClientSession) -> AsyncIterator[str]:
    """A call whose agent speaks; at the end the caller hangs up."""
    jambonz = jambonz_for(real, http)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with caller_in(real, call_id) as caller:
        await heard(caller)
        await jambonz.status("in-progress")
        yield call_id
    await jambonz.status("completed")


async def heard(caller: Caller) -> None:
    """Wait until the agent speaks."""
    async with asyncio.timeout(LIMIT):
        await caller.agent_audio()
        await caller.agent_heard()


def job_processes(real: RealServers) -> list[psutil.Process]:
    """All that are in a room."""
    children = psutil.Process(real.worker.pid).children(recursive=True)
    return [child for child in children if child.net_connections("udp")]


async def stalled(real: RealServers, call_id: str) -> None:
    """Wait until the call's job has noticed that it stood still."""
    async with asyncio.timeout(LIMIT):
        while not any("agent.stalled" in line and call_id in line for line in real.worker.lines):
            await asyncio.sleep(0.05)


@pytest.mark.field("J7")
async def test_keys_that_are_pressed_while_the_caller_talks(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    jambonz = jambonz_for(real, http)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with caller_in(real, call_id) as caller:
        await caller.speak(tone())
        await heard(caller)
        await jambonz.status("in-progress")
        await caller.press("0123456789*#0123456789*#")
    await jambonz.status("completed")
    call = await get_call(real, http, call_id, lambda c: "agent_left" in events(c))
    assert call["disconnection_reason"] == "user_hangup"
    assert "agent_failed" not in events(call)
