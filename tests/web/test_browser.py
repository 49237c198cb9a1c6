"""The page in a real Chromium: what people see, do, and are told without loading it again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from gateway.calls.call import EventKind
from gateway.web import live
from tests.conftest import DISPATCH_KEY, READ_KEY, skip_unless_ci
from tests.web.browser import AXE, PATIENCE, Site, chromium, site, tab
from tests.web.conftest import VIEW_KEY
from tests.web.made_calls import NUMBER, report_of
from tests.web.test_pages import HOSTILE

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    live.INTERVAL, interval = 0.1, live.INTERVAL
    async with site(tmp_path_factory.mktemp("recordings")) as opened:
        yield opened
    live.INTERVAL = interval


async def test_signing_in_leads_to_the_page_that_was_asked_for(
    browser: Browser, gateway: Site
) -> None:
    call = await gateway.made.ended()
    async with tab(browser, gateway, key="") as it:
        await it.open(f"/calls/{call.call_id}")
        await it.sign_in("guess")
        await it.sees("The gateway does not know this API key.")
        await it.sign_in(READ_KEY)
        await it.page.wait_for_url(f"**/calls/{call.call_id}")
        await it.sees("May I have your date of birth")
        assert await it.page.evaluate("document.cookie") == ""
        await it.page.get_by_role("button", name="Sign out").click()
        await it.page.wait_for_url("**/sign-in")
        await it.open("/")
        await it.page.wait_for_url("**/sign-in?**")


async def test_who_is_no_longer_signed_in_is_asked_to(browser: Browser, gateway: Site) -> None:
    call = await gateway.made.answered()
    async with tab(browser, gateway, at=f"/calls/{call.call_id}") as it:
        await it.is_live()
        await it.page.context.clear_cookies()
        gateway.proxy.drop()
        await it.page.wait_for_url("**/sign-in?**")
        await it.sign_in(READ_KEY)
        await it.page.wait_for_url(f"**/calls/{call.call_id}")


async def test_a_link_from_another_site_needs_no_second_sign_in(
    browser: Browser, gateway: Site
) -> None:
    call = await gateway.made.ended()
    async with tab(browser, gateway) as it:
        elsewhere = gateway.url.replace("127.0.0.1", "localhost")
        await it.page.goto(f"{elsewhere}/sign-in")
        await it.page.evaluate(f"location.href = '{gateway.url}/calls/{call.call_id}'")
        await it.sees("May I have your date of birth")


async def test_a_call_is_found_by_part_of_its_number(browser: Browser, gateway: Site) -> None:
    call = await gateway.made.ended(from_number="+61491570156")
    await gateway.made.ended()
    async with tab(browser, gateway) as it:
        await it.page.get_by_role("searchbox").fill("570 156")
        await it.page.keyboard.press("Enter")
        await it.page.wait_for_url("**q=570*")
        assert await it.page.locator("#rows tr").count() == 1
        await it.page.get_by_role("link", name="61491570156").click()
        await it.page.wait_for_url(f"**/calls/{call.call_id}")


async def test_a_time_means_the_readers(browser: Browser, gateway: Site) -> None:
    """Sydney's 02:14 is found, and shown again as that."""
    async with tab(browser, gateway) as it:
        await it.page.get_by_text("Time", exact=True).click()
        await it.page.get_by_label("From").fill("2026-01-31T02:14")
        await it.page.get_by_role("button", name="Search").click()
        await it.page.wait_for_url("**since=1769786040000")
        assert await it.page.locator("#since").input_value() == "2026-01-31T02:14"


async def test_what_happens_shows_without_loading_again(browser: Browser, gateway: Site) -> None:
    async with tab(browser, gateway) as it:
        await it.is_live()
        call = await gateway.made.answered()
        row = it.page.locator(f'tr[data-call="{call.call_id}"]')
        await row.get_by_text("Ongoing").wait_for(timeout=PATIENCE)
        await gateway.made.apply(call, EventKind.HUNG_UP, 9.0)
        await row.get_by_text("Caller hung up").wait_for(timeout=PATIENCE)
        assert not it.complaints


async def test_nothing_is_missed_while_the_connection_is_down(
    browser: Browser, gateway: Site
) -> None:
    async with tab(browser, gateway) as it:
        await it.is_live()
        await it.page.evaluate("window.isTheSamePage = true")
        gateway.proxy.drop()
        call = await gateway.made.answered()
        row = it.page.locator(f'tr[data-call="{call.call_id}"]')
        await row.get_by_text("Ongoing").wait_for(timeout=PATIENCE)
        assert await it.page.evaluate("window.isTheSamePage")


async def test_who_was_away_too_long_loads_the_list_again(
    browser: Browser, gateway: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.LiveUpdates, "_number_of", lambda *_: None)
    async with tab(browser, gateway) as it:
        await it.is_live()
        gateway.proxy.drop()
        call = await gateway.made.answered()
        row = it.page.locator(f'tr[data-call="{call.call_id}"]')
        await row.get_by_text("Ongoing").wait_for(timeout=PATIENCE)


async def test_hanging_up(browser: Browser, gateway: Site) -> None:
    call = await gateway.made.answered()
    async with tab(browser, gateway, DISPATCH_KEY, at=f"/calls/{call.call_id}") as it:
        await it.page.get_by_role("button", name="Hang up").click()
        await it.page.get_by_role("dialog").get_by_role("button", name="Hang up").click()
        await it.sees("Stopped: requested by n8n")
        assert await it.page.get_by_role("button", name="Hang up").count() == 0
        assert not it.complaints


async def test_what_the_gateway_refuses_is_said_where_it_was_asked(
    browser: Browser, gateway: Site
) -> None:
    call = await gateway.made.answered()
    async with tab(browser, gateway, DISPATCH_KEY, at=f"/calls/{call.call_id}") as it:
        await it.page.get_by_role("button", name="Transfer").click()
        dialog = it.page.get_by_role("dialog")
        await dialog.get_by_label("To a number or a SIP URI").fill("+15550111")
        await dialog.get_by_role("button", name="Transfer").click()
        await dialog.get_by_role("alert").get_by_text("transfer.allowed").wait_for(timeout=PATIENCE)


async def test_a_callback_is_delivered_again(browser: Browser, gateway: Site) -> None:
    call = await gateway.made.answered()
    async with tab(browser, gateway, DISPATCH_KEY, at=f"/calls/{call.call_id}") as it:
        retry = it.page.get_by_role("button", name="Retry call_started")
        await retry.wait_for(timeout=PATIENCE)
        received = gateway.receiver.events.count("call_started")
        await retry.click()
        await it.sees("2 attempts")
        assert gateway.receiver.events.count("call_started") == received + 1


async def test_the_role_view_sees_no_number_live_either(browser: Browser, gateway: Site) -> None:
    async with tab(browser, gateway, VIEW_KEY) as it:
        await it.is_live()
        call = await gateway.made.answered()
        row = it.page.locator(f'tr[data-call="{call.call_id}"]')
        await row.get_by_text("Ongoing").wait_for(timeout=PATIENCE)
        assert not NUMBER.search(await it.page.content())


async def test_what_people_say_runs_nowhere(browser: Browser, gateway: Site) -> None:
    call = await gateway.made.answered(agent_name=HOSTILE[:90])
    lines = [("user", 3.0, HOSTILE), ("agent", 4.0, "x" * 100_000)]
    report = report_of(call.start_timestamp, lines, call_analysis={HOSTILE: HOSTILE})
    async with tab(browser, gateway, viewport={"width": 360, "height": 800}) as it:
        ran: list[str] = []
        it.page.on("dialog", lambda dialog: ran.append(dialog.message))
        await it.is_live()
        await gateway.made.apply(call, EventKind.HUNG_UP, 4.0)
        await gateway.made.apply(call, EventKind.AGENT_REPORT, 5.0, report=report)
        row = it.page.locator(f'tr[data-call="{call.call_id}"]')
        await row.get_by_text("Caller hung up").wait_for(timeout=PATIENCE)
        await it.open(f"/calls/{call.call_id}")
        await it.sees("</script><script>alert(1)</script>")
        assert not ran
        assert not it.complaints
        assert await it.width() <= 360


async def test_a_line_plays_its_place_of_the_recording(browser: Browser, gateway: Site) -> None:
    call = await gateway.made.answered(call_id="call-with-recording")
    file = gateway.recordings / f"{call.call_id}.ogg"
    _record(file, seconds=45)
    about = {"file": str(file), "duration_ms": 45_000, "started_at": call.start_timestamp}
    report = report_of(call.start_timestamp, recording=about)
    await gateway.made.apply(call, EventKind.AGENT_REPORT, 46.0, report=report)
    async with tab(browser, gateway, at=f"/calls/{call.call_id}") as it:
        line = it.page.locator(".said li", has_text="nineteen eighty-one")
        await line.get_by_role("button", name="Play from here").click()
        audio = it.page.locator("#audio")
        async with asyncio.timeout(PATIENCE / 1000):
            while await audio.evaluate("it => it.currentTime") <= 15.4:
                await asyncio.sleep(0.05)
        await line.and_(it.page.locator(".playing")).wait_for(timeout=PATIENCE)
        assert await it.page.locator("#audio-error").is_hidden()


async def test_a_damaged_recording_is_said(browser: Browser, gateway: Site) -> None:
    call = await gateway.made.answered(call_id="call-with-damage")
    file = gateway.recordings / f"{call.call_id}.ogg"
    file.write_bytes(b"OggS" + bytes(5_000))
    report = report_of(call.start_timestamp, recording={"file": str(file)})
    await gateway.made.apply(call, EventKind.AGENT_REPORT, 46.0, report=report)
    async with tab(browser, gateway, at=f"/calls/{call.call_id}") as it:
        await it.sees("The recording cannot be played")


async def test_with_the_keyboard_alone(browser: Browser, gateway: Site) -> None:
    call = await gateway.made.answered()
    async with tab(browser, gateway) as it:
        await it.is_live()
        await it.page.keyboard.press("Tab")
        await it.page.keyboard.press("Enter")
        assert await it.page.evaluate("document.activeElement.id") == "main"
        for _ in range(60):
            await it.page.keyboard.press("Tab")
            if await it.page.evaluate("!!document.activeElement.closest('#rows')"):
                break
        await it.page.keyboard.press("Enter")
        await it.page.wait_for_url(f"**/calls/{call.call_id}")


async def test_pages_fit_every_screen(browser: Browser, gateway: Site) -> None:
    call = await gateway.made.silent()
    async with tab(browser, gateway, DISPATCH_KEY) as it:
        for path in ("/", f"/calls/{call.call_id}", "/sign-in"):
            await it.open(path)
            for width in (360, 768, 1920):
                await it.page.set_viewport_size({"width": width, "height": 800})
                assert await it.width() <= width
        assert not it.complaints


async def test_axe_finds_nothing_serious(browser: Browser, gateway: Site) -> None:
    if not AXE.exists():
        skip_unless_ci("axe-core is not installed: npm ci in tests/web")
    silent, ongoing = await gateway.made.silent(), await gateway.made.answered()
    async with tab(browser, gateway, DISPATCH_KEY, bypass_csp=True) as it:
        assert not await it.faults()
        for path in ("/calls/none", f"/calls/{silent.call_id}", f"/calls/{ongoing.call_id}"):
            await it.open(path)
            assert not await it.faults()
        await it.page.get_by_role("button", name="Transfer").click()
        assert not await it.faults()
    async with tab(browser, gateway, "", bypass_csp=True) as it:
        await it.open("/sign-in")
        assert not await it.faults()


def _record(file: Path, *, seconds: int) -> None:
    """A recording as workers make them: Opus in Ogg, stereo; of silence."""
    av = pytest.importorskip("av")
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="stereo")
        for number in range(seconds * 50):
            frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts = 48_000, number * 960
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
