"""`gateway calls` against a gateway: list, show, hang up, transfer, export."""

import asyncio
import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.api.test_dispatch import dispatch
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, get_call, jambonz_for, list_calls
from tests.ports import free_port
from tests.tools.calls.conftest import Calls
from tests.web.conftest import made_at

COLOUR = re.compile(r"\x1b\[\d+m")


async def started(gateway: Client, **numbers: str) -> str:
    """A call that has begun; returns its id."""
    [dial] = await jambonz_for(gateway, **numbers).call_arrives()
    return str(dial["target"][0]["sipUri"]).partition("@")[0].removeprefix("sip:")


async def ended(gateway: Client, **numbers: str) -> None:
    jambonz = jambonz_for(gateway, **numbers)
    await jambonz.call_arrives()
    await jambonz.status("no-answer", 487)


async def test_the_list_has_calls_by_what_was_wrong_with_them(
    gateway: Client, calls: Calls
) -> None:
    made = made_at(gateway)
    silent, _ = await made.silent(), await made.ended()
    status, out, _ = await calls("list", "--verdict", "silent_agent", "--json")
    assert status == 0
    assert [call["call_id"] for call in json.loads(out)["calls"]] == [silent.call_id]


async def test_the_list_has_the_call_of_an_idempotency_key(
    gateway: Client, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", f"ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY}")
    _, dispatched = await dispatch(gateway, idempotency_key="1234-0")
    await dispatch(gateway)
    await calls("hangup", dispatched["call_id"])
    status, out, _ = await calls("list", "--idempotency-key", "1234-0", "--json")
    assert status == 0
    assert [call["call_id"] for call in json.loads(out)["calls"]] == [dispatched["call_id"]]
    status, out, err = await calls("list", "--idempotency-key", "1234-1")
    assert (status, out, err.splitlines()) == (0, "", ["0 listed; 1 active"])


async def test_the_list_has_active_calls_with_their_full_ids(gateway: Client, calls: Calls) -> None:
    call_id = await started(gateway, from_number="+15550101")
    await ended(gateway)
    status, out, err = await calls("list")
    assert status == 0
    head, row = out.splitlines()
    assert head.split() == ["started", "call", "from", "to", "state", "lasted", "agent"]
    assert row.split()[1:] == [
        call_id,
        "in",
        "+15550101",
        "+15550199",
        "registered",
        "nehos-outbound-agent",
    ]
    assert err == "1 listed; 1 active\n"


async def test_nothing_to_list(calls: Calls) -> None:
    assert await calls("list") == (0, "", "0 listed (ended ones: --all); 0 active\n")


@pytest.mark.parametrize("columns", [60, 80, 100, 160])
async def test_the_list_fits_the_terminal_and_has_colours_there(
    gateway: Client, calls: Calls, terminal: Callable[[int], None], columns: int
) -> None:
    call_id = await started(gateway, from_number="sip:reception@pbx.example.com")
    terminal(columns)
    _, out, _ = await calls("list")
    lines = COLOUR.sub("", out).splitlines()
    assert max(map(len, lines)) <= columns
    assert (call_id if columns == 160 else call_id[:13]) in lines[1].split()
    assert "\x1b[33mregistered" in out


async def test_no_colours_where_they_are_not_wanted(
    gateway: Client,
    calls: Calls,
    terminal: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await started(gateway)
    assert "\x1b" not in (await calls("list"))[1]
    terminal(100)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in (await calls("list"))[1]


async def test_control_characters_do_not_reach_the_terminal(gateway: Client, calls: Calls) -> None:
    call_id = await started(gateway, from_number="\x1b]0;owned\x07anna\u202e")
    for words in (("list",), ("show", call_id)):
        _, out, _ = await calls(*words)
        assert "anna" in out
        assert not set("\x1b\x07\u202e") & set(out)


async def test_filters_reach_the_gateway(gateway: Client, calls: Calls) -> None:
    call_id = await started(gateway, from_number="+15550101")
    await started(gateway, from_number="+15550102")
    _, out, _ = await calls("list", "--from", "15550101", "--json")
    assert [call["call_id"] for call in json.loads(out)["calls"]] == [call_id]
    _, out, _ = await calls("list", "--direction", "outbound", "--json")
    assert json.loads(out)["calls"] == []


async def test_a_search_in_time_has_ended_calls_too(gateway: Client, calls: Calls) -> None:
    await ended(gateway)
    assert (await calls("list"))[1] == ""
    for words in (["--all"], ["--since", "1h"], ["--since", "today"]):
        _, out, _ = await calls("list", *words)
        assert "user_hangup" in out
    _, out, err = await calls("list", "--since", "now")
    assert (out, err) == ("", "0 listed; 0 active\n")


async def test_the_list_takes_as_many_pages_as_it_needs(
    gateway: Client, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.tools.calls.pages.PAGE", 2)
    ids = [await started(gateway) for _ in range(5)]
    content = json.loads((await calls("list", "--json"))[1])
    assert sorted(call["call_id"] for call in content["calls"]) == sorted(ids)
    assert content.keys() == (await list_calls(gateway)).keys()
    _, _, err = await calls("list", "-n", "3")
    assert err == "3 listed, and there are more: --limit; 5 active\n"


async def test_a_list_that_may_lack_calls_says_so(calls: Calls) -> None:
    pages = [
        {"calls": [], "active": 0, "next_cursor": "x", "is_complete": False},
        {"calls": [], "active": 0, "next_cursor": None, "is_complete": True},
    ]

    async def page(_: web.Request) -> web.Response:
        return web.json_response(pages.pop(0))

    app = web.Application()
    app.router.add_get("/livekit-api/calls", page)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        status, _, err = await calls("list", "--all", url=url)
    assert status == 0
    assert err.endswith("gateway: the history does not answer, so calls may be missing\n")


async def test_a_call_is_shown(gateway: Client, calls: Calls) -> None:
    jambonz = jambonz_for(gateway, from_number="+15550101")
    await jambonz.call_arrives()
    await jambonz.status("in-progress")
    await jambonz.status("completed", call_termination_by="caller")
    [call] = (await list_calls(gateway, "?include=ended"))["calls"]
    status, out, _ = await calls("show", call["call_id"])
    assert status == 0
    lines = {line[:14].strip(): line[14:] for line in out.splitlines()}
    assert lines["call"] == f"{call['call_id']}, inbound"
    assert lines["from"] == "+15550101, Simulated"
    assert lines["state"] == "ended: user_hangup"
    assert "0.0 s  the call is registered: Jambonz posted its call hook" in out
    assert out.endswith(f"Why: python -m gateway doctor --call {call['call_id']}\n")
    _, out, _ = await calls("show", call["call_id"], "--json")
    assert json.loads(out) == await get_call(gateway, call["call_id"])


async def test_a_call_is_ended(gateway: Client, calls: Calls) -> None:
    call_id = await started(gateway)
    status, out, _ = await calls("hangup", call_id)
    assert (status, out) == (0, f"{call_id}: manual_stopped\n")
    assert (await get_call(gateway, call_id))["disconnection_reason"] == "manual_stopped"
    _, out, _ = await calls("hangup", call_id, "--json")
    assert json.loads(out)["call_id"] == call_id


async def test_the_beginning_of_an_id_is_enough(gateway: Client, calls: Calls) -> None:
    call_id = await started(gateway, from_number="+15550101")
    await started(gateway)
    status, out, _ = await calls("show", call_id[:13], "--json")
    assert (status, json.loads(out)["call_id"]) == (0, call_id)
    status, _, err = await calls("hangup", "call-")
    assert status == 1
    assert err.startswith("gateway: 2 calls have an id that begins with 'call-': call-")
    # Part of a number is no id: the call of somebody else could end.
    status, _, err = await calls("hangup", "15550101")
    assert (status, err) == (
        1,
        "gateway: no call has the id '15550101', or one that begins so\n",
    )
    assert (await list_calls(gateway))["active"] == 2


async def test_what_the_gateway_refuses_is_named(gateway: Client, calls: Calls) -> None:
    call_id = await started(gateway)
    status, out, err = await calls("transfer", call_id, "+15550123")
    assert (status, out) == (1, "")
    assert err.startswith("gateway: answered 403: ")
    assert "transfer.allowed" in err


async def test_a_call_that_is_not_there(calls: Calls) -> None:
    for action in ("show", "hangup", "transfer"):
        status, out, err = await calls(action, "call-0000")
        assert (status, out) == (1, "")
        assert err.startswith("gateway: ")


async def test_a_key_that_may_only_read(
    gateway: Client, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = await started(gateway)
    monkeypatch.setenv("GATEWAY_API_KEYS", f"ops:read:{READ_KEY}")
    assert (await calls("show", call_id))[0] == 0
    status, _, err = await calls("hangup", call_id)
    assert status == 1
    assert "GATEWAY_API_KEYS=name:dispatch:secret" in err or "role dispatch" in err


async def test_without_a_gateway_it_says_how_to_start_one(calls: Calls) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for words in (["list"], ["show", "call-1"], ["watch"], ["export"]):
        status, out, err = await calls(*words, url=url)
        assert (status, out) == (1, "")
        assert "refuses connections: nothing listens there; start the gateway" in err


async def test_a_gateway_that_does_not_answer(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeout = aiohttp.ClientTimeout(total=0.05)
    monkeypatch.setattr("gateway.tools.gateway_api.REQUEST_TIMEOUT", timeout)
    server = await asyncio.start_server(_reading, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        status, _, err = await calls("list", url=f"http://127.0.0.1:{port}")
    assert status == 1
    assert err.startswith(f"gateway: 127.0.0.1:{port} does not answer in time; start the gateway")


async def _reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def test_calls_are_exported(gateway: Client, calls: Calls, tmp_path: Path) -> None:
    await ended(gateway, from_number="+15550101")
    await started(gateway, from_number="=1+1")
    _, out, _ = await calls("export")
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["from_number"] for line in lines} == {"+15550101", "=1+1"}
    _, out, _ = await calls("export", "--status", "registered")
    assert [json.loads(line)["from_number"] for line in out.splitlines()] == ["=1+1"]
    status, out, _ = await calls("export", "--format", "csv", "-o", "calls.csv")
    assert (status, out) == (0, "")
    rows = list(csv.DictReader(written(tmp_path)["calls.csv"].splitlines()))
    assert {row["call_id"] for row in rows} == {line["call_id"] for line in lines}
    assert list(written(tmp_path)) == ["calls.csv"]


def written(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_an_export_that_fails_leaves_no_half_file(calls: Calls, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert (await calls("export", "-o", "calls.jsonl", url=url))[0] == 1
    assert written(tmp_path) == {}
    status, _, err = await calls("export", "-o", "missing/calls.jsonl")
    assert status == 1
    assert err == "gateway: cannot write missing/calls.jsonl: No such file or directory\n"


async def test_an_export_that_breaks_off_is_no_file(calls: Calls, tmp_path: Path) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"call_id": "call-1"}\n')
        assert request.transport
        request.transport.abort()
        return response

    app = web.Application()
    app.router.add_get("/livekit-api/export.jsonl", half)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        status, _, err = await calls("export", "-o", "calls.jsonl", url=url)
    assert status == 1
    assert err.startswith("gateway: ")
    assert written(tmp_path) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "--since", "soon"], "--since: must be a time: 2h ago as 2h"),
        (["list", "--limit", "0"], "--limit: must be a number from 1 to 10000"),
        (["list", "--status", "over"], "--status: invalid choice: 'over'"),
        (["transfer", "call-1", "--kind", "hot"], "--kind: invalid choice: 'hot'"),
        (["show"], "the following arguments are required: CALL_ID"),
    ],
)
async def test_wrong_usage(
    words: list[str], message: str, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        await calls(*words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err.replace("-n/", "")
