"""Calling the agent from the browser: what people see of it, and what they are told if it fails.

With real servers: tests/livekit/test_talk.py.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from livekit.protocol.room import CreateRoomRequest
from playwright.async_api import Browser

from tests.conftest import DISPATCH_KEY, skip_unless_ci
from tests.fakes.livekit import TwirpError
from tests.web.browser import AXE, Site, Tab, chromium, site, tab

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

MEDIA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
#: Before the page's scripts: the microphone fails with an error of this name.
WITHOUT_MICROPHONE = """
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "{}"));
"""
#: Before the page's scripts: the room is joined, and nothing happens in it.
WITHOUT_AGENT = """
    window.WebSocket = class extends EventTarget {
        constructor() { super(); this.readyState = 0; }
        send() {}
        close() {}
    };
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium(*MEDIA) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("recordings")) as opened:
        yield opened


async def last_call(it: Tab, gateway: Site) -> dict[str, Any]:
    """The call that was made last."""
    (room,) = gateway.livekit.requested(CreateRoomRequest)[-1:]
    answer = await it.page.request.get(f"{it.url}/livekit-api/calls/{room.name}")
    call: dict[str, Any] = await answer.json()
    return call


async def calls(it: Tab, **fields: str) -> None:
    """Open the page from the list of calls, fill in `fields`, and call."""
    await it.page.get_by_role("link", name="Talk").click()
    for label, text in fields.items():
        await it.page.get_by_label(label.replace("_", " ")).fill(text)
    await it.page.get_by_role("button", name="Call", exact=True).click()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("NotAllowedError", "Allow it beside the page's address"),
        ("NotFoundError", "There is no microphone."),
        ("NotReadableError", "another program may have it"),
    ],
)
async def test_without_a_microphone_no_call_is_made(
    name: str, advice: str, browser: Browser, gateway: Site
) -> None:
    before = len(gateway.livekit.requested(CreateRoomRequest))
    async with tab(browser, gateway, DISPATCH_KEY) as it:
        await it.page.add_init_script(WITHOUT_MICROPHONE.format(name))
        await calls(it)
        await it.sees("The call was not made.")
        await it.sees(advice)
        assert await it.page.get_by_role("button", name="Call", exact=True).is_visible()
    assert len(gateway.livekit.requested(CreateRoomRequest)) == before


async def test_what_the_gateway_refuses_is_said_in_its_words(
    browser: Browser, gateway: Site
) -> None:
    async with tab(browser, gateway, DISPATCH_KEY) as it:
        await it.open("/talk")
        # The page that was left before may still ask LiveKit how it is.
        gateway.livekit.failures.extend([TwirpError(503, "unavailable", "no response")] * 50)
        await it.page.get_by_role("button", name="Call", exact=True).click()
        await it.sees("LiveKit refused: no response")
    gateway.livekit.failures.clear()


async def test_a_livekit_that_the_browser_cannot_reach_is_named_and_the_call_ends(
    browser: Browser, gateway: Site
) -> None:
    """The fake LiveKit takes no WebSocket."""
    async with tab(browser, gateway, DISPATCH_KEY) as it:
        await calls(it, Number_called="+61491570156")
        await it.sees(f"This browser cannot reach LiveKit at {gateway.livekit.url}")
        await it.sees("Stopped by hand")
        call = await last_call(it, gateway)
        assert call["to_number"] == "+61491570156"
        assert call["disconnection_reason"] == "manual_stopped"


async def test_who_hangs_up_while_it_rings_ends_the_call(browser: Browser, gateway: Site) -> None:
    async with tab(browser, gateway, DISPATCH_KEY) as it:
        await it.page.add_init_script(WITHOUT_AGENT)
        await calls(it)
        await it.sees("Ringing …")
        await it.page.get_by_role("button", name="Hang up").click()
        await it.sees("The call ended before an agent answered.")
        assert (await last_call(it, gateway))["end_timestamp"]


@pytest.mark.parametrize("state", ["idle", "ringing"])
async def test_nothing_keeps_people_from_using_it(
    state: str, browser: Browser, gateway: Site
) -> None:
    if not AXE.exists():
        skip_unless_ci("axe-core is not installed: npm ci in tests/web")
    screen = {"width": 360, "height": 640}
    async with tab(browser, gateway, DISPATCH_KEY, viewport=screen, bypass_csp=True) as it:
        await it.page.add_init_script(WITHOUT_AGENT)
        if state == "ringing":
            await calls(it)
            await it.sees("Ringing …")
        else:
            await it.open("/talk")
        assert await it.width() == screen["width"]
        assert await it.faults() == []
