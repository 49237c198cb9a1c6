"""agents.yaml edited while the worker runs: SIGHUP has new calls use it, if it is usable."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from gateway.tools.simulate.outbound import DispatchRequest
from gateway.tools.simulate.telephone import LIMIT
from tests.conftest import DISPATCH_KEY, READ_KEY
from tests.livekit.conftest import RealServers, wait_for_call
from tests.voice.conftest import AGENTS_FILE, ASKS_DAY, GREETING, Dial

NEW = "Good evening, the clinic is closed now, what can I do for you?"
HEADERS = {"X-API-Key": DISPATCH_KEY}

#: Writes the file and has the worker read it; waits until it has, unless the file has mistakes.
Reload = Callable[[str], Awaitable[None]]


@pytest.fixture
async def reload(
    real: RealServers, agents_file: Path, http: aiohttp.ClientSession
) -> AsyncIterator[Reload]:
    url = f"http://127.0.0.1:{real.env['AGENT_HTTP_PORT']}/worker"

    async def profiles() -> list[str]:
        async with http.get(url) as response:
            found: list[str] = (await response.json())["profiles"]
            return found

    async def write(text: str) -> None:
        await asyncio.to_thread(agents_file.write_text, text)
        os.kill(real.worker.pid, signal.SIGHUP)
        if "greting" in text:
            await asyncio.to_thread(real.worker.wait_for, "greting: unknown key", limit=LIMIT)
            return
        async with asyncio.timeout(LIMIT):
            while ("edited" in await profiles()) is not ("edited" in text):
                await asyncio.sleep(0.05)

    yield write
    await write(AGENTS_FILE.read_text())


async def test_new_calls_have_what_is_usable(reload: Reload, dial: Dial) -> None:
    shipped = AGENTS_FILE.read_text()
    edited = shipped.replace(GREETING, f'"{NEW}"').replace(
        "profiles:\n", "profiles:\n  edited: {}\n"
    )
    assert edited.count(NEW) == 1
    async with dial() as before:
        await before.hears_out(GREETING)
        await reload(edited)
        async with dial() as after:
            await after.hears(NEW)
        await before.says("book")
        await before.hears(ASKS_DAY)
    await reload(edited.replace("greeting", "greting"))
    async with dial() as later:
        await later.hears(NEW)


async def test_a_profile_that_does_not_exist_is_named(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    body = {**DispatchRequest().body(), "session_options": {"profile": "clinik"}}
    async with http.post(f"{real.url}/dispatch", json=body, headers=HEADERS) as response:
        answer = await response.json()
    call = await wait_for_call(
        http,
        f"{real.url}/livekit-api/calls/{answer['call_id']}",
        lambda call: call["end_timestamp"],
        limit=LIMIT,
        key=READ_KEY,
    )
    assert call["disconnection_reason"] == "agent_error"
    assert "agents.yaml has no profile 'clinik'; it has: clinic, " in str(call["timeline"])
