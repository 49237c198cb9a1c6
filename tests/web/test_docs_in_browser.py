"""`/docs` in a real Chromium: the filter by keyboard, links into it, and what is copied."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.conftest import skip_unless_ci
from tests.web.browser import AXE, Site, Tab, chromium, site, tab

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("recordings")) as opened:
        yield opened


async def shown(page: Page) -> list[str]:
    """The ids of what the filter leaves."""
    ids: list[str] = await page.locator("article.operation:visible").evaluate_all(
        "found => found.map((it) => it.id)"
    )
    return ids


async def active(it: Tab) -> str:
    """What has the focus, by its id or its text."""
    text: str = await it.page.evaluate(
        "document.activeElement.id || document.activeElement.textContent.trim()"
    )
    return text


async def test_the_filter_is_used_by_keyboard(browser: Browser, gateway: Site) -> None:
    async with tab(browser, gateway) as it:
        await it.page.get_by_role("link", name="API", exact=True).click()
        await it.page.wait_for_url("**/docs")
        everything = await shown(it.page)
        await it.page.keyboard.press("/")
        assert await active(it) == "filter"
        await it.page.keyboard.type("no such thing")
        assert await shown(it.page) == []
        assert await it.page.get_by_role("status").inner_text() == f"0 of {len(everything)}"
        await it.page.keyboard.press("Escape")
        assert await shown(it.page) == everything
        await it.page.keyboard.type("calls /hangup")
        assert await shown(it.page) == ["post_livekit_api_calls_call_id_hangup"]
        contents = it.page.locator(".contents li:visible")
        assert await contents.count() == 1
        assert await it.page.locator(".entries:visible").count() == 1
        await it.page.keyboard.press("Enter")
        await it.page.wait_for_url("**/docs#post_livekit_api_calls_call_id_hangup")
        assert await active(it) == "#"
        assert not it.complaints


async def test_a_link_leads_to_what_the_filter_hides(browser: Browser, gateway: Site) -> None:
    async with tab(browser, gateway, at="/docs#error-no_agent") as it:
        assert await it.page.locator("#error-no_agent").is_visible()
        await it.page.get_by_label("Filter").fill("transfer announced")
        target = it.page.locator("#post_dispatch")
        assert await target.is_hidden()
        await it.page.evaluate("location.hash = 'post_dispatch'")
        await target.wait_for()
        assert await it.page.get_by_label("Filter").input_value() == ""


async def test_a_command_is_copied(browser: Browser, gateway: Site) -> None:
    async with tab(browser, gateway, permissions=["clipboard-read", "clipboard-write"]) as it:
        await it.open("/docs#get_livekit_api_calls")
        article = it.page.locator("#get_livekit_api_calls")
        button = article.get_by_role("button", name="curl for GET /livekit-api/calls")
        await button.click()
        await it.sees("Copied")
        copied = await it.page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith('curl "http://127.0.0.1:')
        assert copied.endswith('/livekit-api/calls" \\\n  -H "X-API-Key: $API_KEY"')
        await it.page.get_by_role("button", name="Copy curl for GET /livekit-api/calls").wait_for()


async def test_without_a_clipboard_it_is_selected(browser: Browser, gateway: Site) -> None:
    async with tab(browser, gateway) as it:
        await it.page.add_init_script(
            "Object.defineProperty(navigator, 'clipboard', { value: undefined })"
        )
        await it.open("/docs")
        await it.page.get_by_role("button", name="Copy curl for GET /healthz").click()
        selected = await it.page.evaluate("getSelection().toString()")
        assert selected.strip().endswith('/healthz"')


async def test_it_fits_every_screen(browser: Browser, gateway: Site) -> None:
    async with tab(browser, gateway) as it:
        for width in (360, 768, 1920):
            await it.page.set_viewport_size({"width": width, "height": 800})
            await it.open("/docs")
            assert await it.width() <= width
        assert not it.complaints


async def test_axe_finds_nothing_serious(browser: Browser, gateway: Site) -> None:
    if not AXE.exists():
        skip_unless_ci("axe-core is not installed: npm ci in tests/web")
    async with tab(browser, gateway, at="/docs", bypass_csp=True) as it:
        assert await it.faults() == []
