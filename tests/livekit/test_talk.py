"""Calls from the browser: a real Chromium, LiveKit, gateway and worker, and sound both ways."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.conftest import DISPATCH_KEY, READ_KEY
from tests.livekit.conftest import RealServers, wait_for_call
from tests.web.browser import Tab, chromium, empty_tab

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

LIMIT = 30.0
#: The microphone beeps once a second, and LiveKit is on loopback.
MEDIA = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
)
#: In the page: the level of a direction.
LOUD = "id => document.getElementById(id).value > 0.3"
#: In the page: whether the agent was silent for 1.5 s.
QUIET = """() => {
    const now = performance.now();
    if (document.getElementById("agent-level").value > 0) window.heardAt = now;
    return now - (window.heardAt ??= now) > 1500;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium(*MEDIA) as browser:
        yield browser


@asynccontextmanager
async def talking(browser: Browser, real: RealServers) -> AsyncIterator[Tab]:
    """A tab in a call whose agent can be heard."""
    async with empty_tab(browser, real.url) as it:
        await it.open("/talk")
        await it.sign_in(DISPATCH_KEY)
        await it.page.get_by_role("button", name="Call", exact=True).click()
        await it.sees("Connected")
        await it.page.wait_for_function(LOUD, arg="agent-level")
        yield it


async def call_of(it: Tab) -> dict[str, Any]:
    """The call, by the link to its page, once it has ended."""
    await it.page.locator("#why .why").wait_for()
    path = await it.page.get_by_role("link", name="Open the call's page").get_attribute("href")
    async with aiohttp.ClientSession() as http:
        url = f"{it.url}/livekit-api{path}"
        call: dict[str, Any] = await wait_for_call(
            http, url, lambda c: c["report"], limit=LIMIT, key=READ_KEY
        )
    return call


async def test_caller_and_agent_hear_each_other(browser: Browser, real: RealServers) -> None:
    async with talking(browser, real) as it:
        mute = it.page.get_by_role("button", name="Mute")
        await mute.click()
        await it.page.wait_for_function(QUIET)  # the greeting is over, and nothing is echoed
        await mute.click()
        await it.page.wait_for_function(LOUD, arg="own-level")
        await it.page.wait_for_function(LOUD, arg="agent-level")  # the agent repeats the beep
        await it.page.get_by_role("button", name="#").click()
        await it.page.keyboard.press("7")
        assert await it.page.locator("#pressed").inner_text() == "#7"
        await it.page.get_by_role("button", name="Hang up").click()
        await it.sees("Caller hung up")
        call = await call_of(it)
        assert call["disconnection_reason"] == "user_hangup"
        assert call["caller"]["identity"] == "browser"
        said = [line["text"] for line in call["report"]["transcript"]]
        assert said[0].startswith("Hello.")
        assert "[key]" in said
        assert it.complaints == []


async def test_a_call_that_is_ended_elsewhere_says_why(browser: Browser, real: RealServers) -> None:
    async with talking(browser, real) as it, aiohttp.ClientSession() as http:
        url = f"{real.url}/livekit-api/calls"
        async with http.get(url, headers={"X-API-Key": READ_KEY}) as listed:
            (call,) = (await listed.json())["calls"]
        hangup = f"{url}/{call['call_id']}/hangup"
        async with http.post(hangup, headers={"X-API-Key": DISPATCH_KEY}) as answer:
            assert answer.status == 200
        await it.sees("Stopped by hand")
        await it.sees("An API client ended the call")
        assert await it.page.get_by_role("button", name="Call", exact=True).is_visible()


async def test_a_closed_tab_hangs_up(browser: Browser, real: RealServers) -> None:
    async with talking(browser, real) as it, aiohttp.ClientSession() as http:
        url = f"{real.url}/livekit-api/calls"
        async with http.get(url, headers={"X-API-Key": READ_KEY}) as listed:
            (call,) = (await listed.json())["calls"]
        await it.page.goto("about:blank")
        ended = await wait_for_call(
            http,
            f"{url}/{call['call_id']}",
            lambda c: c["end_timestamp"],
            limit=LIMIT,
            key=READ_KEY,
        )
        assert ended["disconnection_reason"] == "user_hangup"
