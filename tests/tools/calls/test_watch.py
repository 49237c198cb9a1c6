"""`gateway calls watch`: what happens, and what happens to the connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from gateway.api.services import SERVICES
from gateway.cli import _parser
from gateway.security.api_keys import OwnKeys, Role
from gateway.tools.calls import watch
from gateway.tools.calls.watch import change_line, changes
from gateway.tools.gateway_api import GatewayApi, UnexpectedResponse
from gateway.tools.server_sent_events import Message
from tests.conftest import READ_KEY, Client, jambonz_for

CALL = {
    "call_id": "call-2b776760-0000-4000-8000-000000000001",
    "direction": "inbound",
    "call_status": "ended",
    "disconnection_reason": "user_hangup",
    "from_number": "+15550100",
    "to_number": "+15550199",
    "agent_name": "desk",
    "account_code": "",
}


class Script:
    """A gateway whose streams are scripted: each is the text that it sends, or a status."""

    def __init__(self, *streams: str | int) -> None:
        self.streams = list(streams)
        self.last_ids: list[str | None] = []

    async def respond(self, request: web.Request) -> web.StreamResponse:
        self.last_ids.append(request.headers.get("Last-Event-ID"))
        stream = self.streams.pop(0) if self.streams else 401
        if isinstance(stream, int):
            return web.json_response({"error": "x", "message": "no"}, status=stream)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(stream.encode())
        return response

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[GatewayApi]:
        app = web.Application()
        app.router.add_get("/livekit-api/events", self.respond)
        async with TestServer(app) as server:
            url = str(server.make_url("")).rstrip("/")
            async with GatewayApi.opened(url, OwnKeys({}, is_required=False)) as api:
                yield api


def event(number: int) -> str:
    return f'event: call\nid: {number}\ndata: {{"number": {number}}}\n\n'


async def followed(
    script: Script, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> tuple[list[Message], list[str]]:
    """The events and notices until the script is over."""
    seen: list[Message] = []
    notices: list[str] = []

    async def follow(api: GatewayApi) -> None:
        async for message in changes(api, notices.append, sleep):
            seen.append(message)  # noqa: PERF401 - they count, although it ends with an error

    async with script.serving() as api, asyncio.timeout(20):
        with pytest.raises(UnexpectedResponse, match="answered 401: no"):
            await follow(api)
    return seen, notices


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_PAUSE", 0.001)


async def test_a_lost_stream_is_continued_after_the_last_event() -> None:
    script = Script(": listening\n\n" + event(1) + event(2), 503, event(3))
    seen, notices = await followed(script)
    assert [message.id for message in seen] == ["1", "2", "3"]
    assert script.last_ids == [None, "2", "2", "3"]
    assert notices == [
        "the gateway has ended the stream",
        "the gateway answered 503: no",
        "the gateway has ended the stream",
    ]


async def test_an_event_without_an_id_changes_nothing_about_where_it_continues() -> None:
    script = Script(event(1) + 'event: call\ndata: {"number": 0}\n\n', event(2))
    await followed(script)
    assert script.last_ids == [None, "1", "2"]


async def test_where_nothing_says_how_to_continue_it_is_said() -> None:
    seen, _ = await followed(Script(": listening\n\n", event(1)))
    assert [message.event for message in seen] == ["missed", "call"]


async def test_an_event_that_is_cut_off_comes_again() -> None:
    script = Script(event(1) + event(2)[:-4], event(2))
    seen, _ = await followed(script)
    assert [message.id for message in seen] == ["1", "2"]


async def test_the_first_attempt_fails_at_once() -> None:
    script = Script(503)
    async with script.serving() as api:
        with pytest.raises(UnexpectedResponse, match="503"):
            await anext(changes(api, print))


async def test_pauses_grow_while_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LONGEST_PAUSE", 0.004)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    await followed(Script(event(1), 503, 503, 503, event(2)), pause)
    assert pauses == [0.001, 0.002, 0.004, 0.004, 0.001]


@pytest.mark.parametrize(
    ("words", "events"),
    [
        ([], ["call_registered", "call_ongoing", "call_ended"]),
        (["--status", "ongoing"], ["call_ongoing"]),
        (["--reason", "user_hangup"], ["call_ended"]),
        (["-q", "555 0101"], ["call_registered", "call_ongoing", "call_ended"]),
        (["--direction", "outbound"], []),
        (["--verdict", "silent_agent"], []),
        (["--from", "15550101"], ["call_registered", "call_ongoing", "call_ended"]),
    ],
)
async def test_changes_are_printed_as_json_lines(
    gateway: Client, words: list[str], events: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    keys = OwnKeys({Role.READ: READ_KEY}, is_required=True)
    arguments = _parser().parse_args(["calls", "watch", "--json", *words])
    async with GatewayApi.opened(str(gateway.make_url("")).rstrip("/"), keys) as api:
        watching = asyncio.create_task(watch.watch(api, arguments))
        with capture_logs():
            await _has_listener(gateway)
            jambonz = jambonz_for(gateway, from_number="+15550101")
            await jambonz.call_arrives()
            await jambonz.status("in-progress")
            await jambonz.status("completed", call_termination_by="caller")
            out = await _until_the_stream_ends(gateway, capsys)
        watching.cancel()
    assert [json.loads(line)["event"] for line in out.splitlines()] == events


async def _has_listener(gateway: Client) -> None:
    assert gateway.app
    async with asyncio.timeout(20):
        while not gateway.app[SERVICES].listeners.number:
            await asyncio.sleep(0.01)


async def _until_the_stream_ends(gateway: Client, capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed before it."""
    assert gateway.app
    await gateway.app.shutdown()
    out = err = ""
    async with asyncio.timeout(20):
        while "the gateway has ended the stream" not in err:
            await asyncio.sleep(0.01)
            more = capsys.readouterr()
            out, err = out + more.out, err + more.err
    return out


@pytest.mark.parametrize("width", [60, 80, 120, 140])
def test_a_line_fits_the_terminal(width: int) -> None:
    text = change_line({"event": "call_ended", "call": CALL}, width, in_colour=False)
    assert len(text) <= width
    assert "call_ended" in text
    assert "user_hangup" in text
    assert (CALL["call_id"] if width >= 140 else "call-2b776760") in text.split()


def test_a_line_in_a_file_has_everything() -> None:
    text = change_line({"event": "call_ended", "call": CALL}, None, in_colour=False)
    assert text.split()[1:] == [
        CALL["call_id"],
        "call_ended",
        "+15550100",
        "+15550199",
        "user_hangup",
    ]


def test_the_state_is_coloured(terminal: Callable[[int], None]) -> None:
    text = change_line({"event": "call_ended", "call": CALL}, 100, in_colour=True)
    assert "\x1b[90muser_hangup" in text
