"""A real Chromium, and a gateway in this process that it looks at."""

import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from gateway.api.auth import SESSION_COOKIE
from gateway.api.services import SERVICES
from gateway.app import create_app
from gateway.security.api_keys import ApiKey, matching
from gateway.security.sessions import new_session
from tests.conftest import DISPATCH_KEY, READ_KEY, config_for, skip_unless_ci
from tests.fakes.livekit import SECRET, FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.fakes.tcp_proxy import TcpProxy
from tests.ports import free_port
from tests.web.conftest import VIEW_KEY
from tests.web.made_calls import MadeCalls

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
KEYS = f"eyes:view:{VIEW_KEY},ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY}"
#: For what a page shows by itself, in ms; the machine may be busy.
PATIENCE = 20_000


@asynccontextmanager
async def chromium(*options: str) -> AsyncIterator[Browser]:
    """Debian's chromium; its driver is Playwright's, which downloads no browser."""
    program = shutil.which("chromium")
    if program is None:
        skip_unless_ci("chromium is not installed: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", *options]
        )
        context = await _new_context(browser)
        await context.new_page()  # as long as one is open, Chromium keeps what it has started
        yield browser
        await browser.close()


@dataclass
class Site:
    """The gateway at `url`, and its calls.

    `proxy` is in front of it, `livekit` behind; `receiver` gets its callbacks.
    """

    url: str
    livekit: FakeLiveKit
    made: MadeCalls
    proxy: TcpProxy
    receiver: Receiver
    keys: Sequence[ApiKey]
    recordings: Path


@asynccontextmanager
async def site(recordings: Path) -> AsyncIterator[Site]:
    async with FakeLiveKit().serving() as livekit, Receiver().serving() as receiver:
        app = create_app(
            config_for(
                livekit.url,
                {"GATEWAY_API_KEYS": KEYS},
                monitor={"interval": 60, "reconcile_interval": 600},
                web={"recordings": str(recordings), "calls": True},
                callbacks={"urls": [f"{receiver.url}/hook"], "allowed_hosts": ["127.0.0.1"]},
            )
        )
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            async with TcpProxy.serving(port) as proxy:
                services = app[SERVICES]
                url = f"http://127.0.0.1:{proxy.port}"
                keys = services.config.security.keys
                made = MadeCalls(services)
                yield Site(url, livekit, made, proxy, receiver, keys, recordings)
        finally:
            await runner.cleanup()


@dataclass
class Tab:
    """A page of the browser; `complaints` is what it wrote to its console as an error."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self.url}{path}")

    async def sign_in(self, key: str) -> None:
        await self.page.get_by_label("API key").fill(key)
        await self.page.get_by_role("button", name="Sign in").click()

    async def sees(self, text: str) -> None:
        shown = self.page.get_by_text(text).locator("visible=true")
        await shown.first.wait_for(timeout=PATIENCE)

    async def is_live(self) -> None:
        """Wait until it follows the gateway's changes."""
        await self.page.locator("#live-state.on").wait_for(timeout=PATIENCE)

    async def width(self) -> int:
        """How wide the page is, in px: more than the screen if it does not fit."""
        width: int = await self.page.evaluate("document.scrollingElement.scrollWidth")
        return width

    async def faults(self) -> list[str]:
        """What axe-core finds serious or worse, in light and in dark."""
        await self.page.add_script_tag(path=AXE)
        faults = []
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            options: dict[str, Any] = {"resultTypes": ["violations"]}
            if scheme == "dark":
                options["runOnly"] = ["color-contrast"]  # all else is the same
            found: dict[str, Any] = await self.page.evaluate("axe.run", options)
            faults += [
                f"{scheme}: {it['id']}: {it['nodes'][0]['html']} {it['nodes'][0]['failureSummary']}"
                for it in found["violations"]
                if it["impact"] in {"serious", "critical"}
            ]
        return faults


@asynccontextmanager
async def tab(
    browser: Browser, site: Site, key: str = READ_KEY, *, at: str = "/", **options: Any
) -> AsyncIterator[Tab]:
    """A tab at `at` with a session of the API key `key`; with "" empty, and without one."""
    async with empty_tab(browser, site.url, **options) as opened:
        if key:
            session = new_session(
                matching(key, site.keys)[0], SECRET, expires_at=int(time.time()) + 3600
            )
            cookie: Any = {"name": SESSION_COOKIE, "value": session, "url": site.url}
            await opened.page.context.add_cookies([cookie])
            await opened.open(at)
        yield opened


@asynccontextmanager
async def empty_tab(browser: Browser, url: str, **options: Any) -> AsyncIterator[Tab]:
    """A tab for the gateway at `url`, without a session; what others left there is forgotten.

    Tabs without `options` share a context: a new one starts and compiles more than most tests do.
    """
    context = await _new_context(browser, **options) if options else browser.contexts[0]
    page = await context.new_page()
    page.set_default_timeout(PATIENCE)
    await _forget(page, url)
    opened = Tab(page, url)
    page.on("console", opened.on_console)
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    try:
        yield opened
    finally:
        await (context if options else page).close()


async def _new_context(browser: Browser, **options: Any) -> BrowserContext:
    return await browser.new_context(timezone_id="Australia/Sydney", locale="en-GB", **options)


async def _forget(page: Page, url: str) -> None:
    """Remove all cookies, and what pages at `url` stored in the browser."""
    await page.context.clear_cookies()
    devtools = await page.context.new_cdp_session(page)
    kept = {"origin": url, "storageTypes": "local_storage"}
    await devtools.send("Storage.clearDataForOrigin", kept)
    await devtools.detach()
