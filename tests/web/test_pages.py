"""What the pages hold for each role, and that what people say stays text."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.calls.call import EventKind
from gateway.errors import StorageUnavailable
from gateway.storage.memory.feed import MemoryFeed
from gateway.storage.memory.registry import MemoryRegistry
from gateway.web.page import CONTENT_SECURITY_POLICY
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter
from tests.web.conftest import VIEW_KEY, made_at
from tests.web.made_calls import NUMBER, MadeCalls, report_of

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202egnp.exe\u2066"
PAGES = ("/", "/?show=live", "/calls/{id}")


async def read(gateway: Client, path: str, key: str = READ_KEY, status: int = 200) -> str:
    async with gateway.get(path, headers={"X-API-Key": key}) as answer:
        assert answer.status == status, await answer.text()
        return await answer.text()


@pytest.fixture
async def viewed(start_gateway: GatewayStarter) -> Client:
    """A gateway that also has a key with the role view."""
    keys = f"eyes:view:{VIEW_KEY},ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY}"
    return await start_gateway({"GATEWAY_API_KEYS": keys})


async def test_the_list_has_live_and_ended_calls_newest_first(
    gateway: Client, made: MadeCalls
) -> None:
    ended, live = await made.ended(ago=500), await made.answered(ago=5)
    text = await read(gateway, "/")
    assert text.index(live.call_id) < text.index(ended.call_id)
    assert ended.call_id not in await read(gateway, "/?show=live")
    assert live.call_id not in await read(gateway, "/?reason=user_hangup")
    assert ended.call_id in await read(gateway, f"/?q={ended.from_number[-6:]}")
    assert live.call_id not in await read(gateway, f"/?q={ended.from_number[-6:]}")
    assert live.call_id not in await read(gateway, f"/?until={live.start_timestamp}")


async def test_calls_whose_agent_was_silent_are_found(gateway: Client, made: MadeCalls) -> None:
    silent, good = await made.silent(), await made.ended()
    text = await read(gateway, "/?verdict=silent_agent")
    assert silent.call_id in text
    assert good.call_id not in text
    assert '<option value="silent_agent" selected>Agent was silent</option>' in text


async def test_older_calls_are_on_the_next_page(gateway: Client, made: MadeCalls) -> None:
    calls = [await made.registered(ago=60 - number) for number in range(60)]
    first = await read(gateway, "/?direction=inbound")
    assert first.count(" data-call=") == 50
    older = re.search(r'href="(/\?direction=inbound&amp;cursor=[^"]+)" rel="next"', first)
    assert older
    second = await read(gateway, older[1].replace("&amp;", "&"))
    assert second.count(" data-call=") == 10
    assert calls[0].call_id in second
    assert 'rel="next"' not in second


async def test_a_call_has_its_timeline_transcript_and_cause(
    gateway: Client, made: MadeCalls
) -> None:
    call = await made.silent()
    text = await read(gateway, f"/calls/{call.call_id}")
    assert "The agent was silent for 7.8 s" in text or "the agent was silent for 7.8 s" in text
    assert "May I have your date of birth to find it?" in text
    assert "answered after 7.8 s" in text
    assert "Something failed" in text
    assert "Jambonz posted its call hook" in text


async def test_whether_there_was_a_conversation(gateway: Client, made: MadeCalls) -> None:
    call = await made.answered(ago=60)
    report = report_of(
        call.start_timestamp,
        unanswered=[{"at": call.start_timestamp + 20_000, "duration_ms": 4_000}],
        packets={
            "from_caller": {"received": 900, "lost": 100},
            "to_caller": {"received": 1_000, "lost": 0},
        },
    )
    await made.apply(call, EventKind.AGENT_REPORT, 46.0, report=report)
    text = await read(gateway, f"/calls/{call.call_id}")
    assert "Speech without an answer" in text
    assert "Packets lost from the caller" in text
    assert "10.0 %" in text
    assert "Packets lost to the caller" not in text


async def test_the_role_view_sees_no_number_and_nothing_said(viewed: Client) -> None:
    made = made_at(viewed)
    call = await made.ended(metadata={"patient": "Jo Caller"}, report=None)
    for path in PAGES:
        text = await read(viewed, path.format(id=call.call_id), VIEW_KEY)
        assert not NUMBER.search(text), path
        for said in ("Jo Caller", "date of birth", "Hang up", "Retry"):
            assert said not in text, path
    silent = await made.silent()
    for path in ("/calls/{id}", "/calls/{id}/debug.json"):
        text = await read(viewed, path.format(id=silent.call_id), VIEW_KEY)
        assert "silent for 7.8 s" in text
        for said in ("date of birth", "half past nine"):
            assert said not in text
    bundle = await read(viewed, f"/calls/{call.call_id}/debug.json", READ_KEY)
    assert not NUMBER.search(bundle)
    assert "date of birth" not in bundle
    assert "Jo Caller" not in bundle


async def test_the_role_view_may_not_search_by_number_or_hear_the_recording(
    viewed: Client,
) -> None:
    call = await made_at(viewed).ended()
    await read(viewed, "/?q=1555", VIEW_KEY, status=403)
    await read(viewed, f"/calls/{call.call_id}/recording", VIEW_KEY, status=403)


async def test_only_who_may_act_gets_buttons(gateway: Client, made: MadeCalls) -> None:
    call = await made.answered()
    assert "Hang up" not in await read(gateway, f"/calls/{call.call_id}", READ_KEY)
    assert "Hang up" in await read(gateway, f"/calls/{call.call_id}", DISPATCH_KEY)


async def test_without_a_session_the_sign_in_leads_back(gateway: Client) -> None:
    async with gateway.get("/calls/x?a=b", allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/sign-in?next=%2Fcalls%2Fx%3Fa%3Db"


async def test_a_link_on_another_site_is_opened_once_more(gateway: Client) -> None:
    """The browser withholds the cookie from the first request, not from the second."""
    headers = {"Sec-Fetch-Site": "cross-site"}
    async with gateway.get("/calls/x", headers=headers, allow_redirects=False) as answer:
        assert answer.status == 200
        assert 'http-equiv="refresh"' in await answer.text()


async def test_every_page_has_the_headers_that_bound_it(gateway: Client, made: MadeCalls) -> None:
    call = await made.ended()
    for path in ("/", f"/calls/{call.call_id}", "/calls/none", "/sign-in"):
        async with gateway.get(path, headers={"X-API-Key": READ_KEY}) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert policy == CONTENT_SECURITY_POLICY.format(connect="")
            assert "unsafe" not in policy
            assert answer.headers["Cache-Control"] == "no-store"
            text = await answer.text()
            assert not re.search(r"<script(?![^>]* src=)|\sstyle=|\son\w+=|<style", text)


async def test_what_people_say_stays_text(gateway: Client, made: MadeCalls) -> None:
    lines = [("user", 3.0, HOSTILE), ("agent", 4.0, HOSTILE)]
    call = await made.registered(
        from_number=HOSTILE[:60], agent_name=HOSTILE[:90], caller_name=HOSTILE
    )
    report = report_of(
        call.start_timestamp,
        lines,
        call_analysis={HOSTILE: HOSTILE, "custom": {HOSTILE: [HOSTILE]}},
        recording={"file": HOSTILE, "url": HOSTILE, "error": HOSTILE},
        errors=[HOSTILE],
    )
    await made.apply(call, EventKind.AGENT_REPORT, 5.0, report=report)
    for path in ("/", f"/calls/{call.call_id}"):
        text = await read(gateway, path)
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;alert(1)" in text
        assert not re.search("[\u202e\u2066]", text)


async def test_a_megabyte_of_transcript_is_bounded(gateway: Client, made: MadeCalls) -> None:
    call = await made.registered()
    lines = [("user", 1.0 + number / 100, "ם" * 300) for number in range(5_000)]
    lines.append(("agent", 60.0, "x" * 500_000))
    await made.apply(
        call,
        EventKind.AGENT_REPORT,
        5.0,
        report=report_of(call.start_timestamp, lines),
    )
    text = await read(gateway, f"/calls/{call.call_id}")
    assert len(text) < 400_000
    assert "more lines are not shown here" in text


@pytest.mark.parametrize(
    "report",
    [
        {"transcript": "none", "turns": 5, "mute": {}, "recording": []},
        {"transcript": [None, 1, {"at": "x"}, {"at": 1, "role": "user"}, {"at": -1, "role": "x"}]},
        {"transcript": [{"at": 2**60, "role": "agent", "text": {"a": 1}}], "turns": [{"at": None}]},
        {"call_analysis": {"a": None, "b": [1], "c": {"d": {}}}, "usage": [[[]]]},
        {"recording": {"file": 5, "url": None, "duration_ms": "x", "started_at": "y"}},
    ],
)
async def test_a_report_of_any_form_is_shown(
    gateway: Client, made: MadeCalls, report: dict[str, Any]
) -> None:
    call = await made.answered(ago=30)
    await made.apply(call, EventKind.AGENT_REPORT, 5.0, report=report)
    await read(gateway, f"/calls/{call.call_id}")
    await read(gateway, "/")
    json.loads(await read(gateway, f"/calls/{call.call_id}/debug.json"))


async def test_a_call_that_is_not_stored(gateway: Client) -> None:
    assert "no call call-none is stored" in await read(gateway, "/calls/call-none", status=404)
    await read(gateway, "/calls/call-none/debug.json", status=404)
    await read(gateway, "/calls/call-none/recording", status=404)


@pytest.fixture
async def recorded(start_gateway: GatewayStarter, tmp_path: Path) -> tuple[Client, MadeCalls, Path]:
    folder = tmp_path / "recordings"
    folder.mkdir()
    gateway = await start_gateway(web={"recordings": str(folder)})
    return gateway, made_at(gateway), folder


async def with_recording(made: MadeCalls, file: Path | str, call_id: str = "call-r") -> None:
    call = await made.registered(call_id=call_id)
    about = {"file": str(file), "duration_ms": 5000, "started_at": call.start_timestamp}
    await made.apply(
        call,
        EventKind.AGENT_REPORT,
        5.0,
        report=report_of(call.start_timestamp, recording=about),
    )


async def test_a_recording_is_played_from_any_place(
    recorded: tuple[Client, MadeCalls, Path],
) -> None:
    gateway, made, folder = recorded
    file = folder / "acme" / "call-r.ogg"
    file.parent.mkdir()
    file.write_bytes(b"OggS" + b"x" * 100)
    await with_recording(made, file)
    assert 'data-place="2.6"' in await read(gateway, "/calls/call-r")
    headers = {"X-API-Key": READ_KEY, "Range": "bytes=4-7"}
    async with gateway.get("/calls/call-r/recording", headers=headers) as answer:
        assert (answer.status, await answer.read()) == (206, b"xxxx")
        assert answer.content_type == "audio/ogg"


async def test_a_worker_can_name_no_other_file(
    recorded: tuple[Client, MadeCalls, Path], tmp_path: Path
) -> None:
    gateway, made, folder = recorded
    outside = tmp_path / "call-1.ogg"
    outside.write_bytes(b"secret")
    (folder / "call-2.ogg").symlink_to(outside)
    (folder / "call-other.ogg").write_bytes(b"secret")
    files: tuple[Path | str, ...] = (
        outside,
        folder / "call-2.ogg",
        folder / "call-other.ogg",
        f"{folder}/../call-4.ogg",
        "/etc/passwd",
        "call-6.ogg\0",
        "",
    )
    for number, file in enumerate(files, start=1):
        await with_recording(made, file, f"call-{number}")
        await read(gateway, f"/calls/call-{number}/recording", status=404)
        await read(gateway, f"/calls/call-{number}")


async def test_storage_that_is_away_is_said(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise StorageUnavailable("Redis: no answer in time")

    monkeypatch.setattr(MemoryRegistry, "page", fail)
    monkeypatch.setattr(MemoryRegistry, "get", fail)
    monkeypatch.setattr(MemoryFeed, "listen", fail)
    for path in ("/", "/calls/call-1"):
        assert "Redis: no answer in time" in await read(gateway, path, status=503)
    assert "<b>LiveKit</b>" in await read(gateway, "/", status=503)
