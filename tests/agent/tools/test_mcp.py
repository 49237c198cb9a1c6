"""Tools of MCP servers, against a real one."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from agent.profiles.profile import AgentsFile
from agent.voice.tools import available
from agent.voice.tools.available import server_problems
from common import resolver
from tests.agent.tools.conftest import conversation, model_of, turn
from tests.fakes.llm import Use
from tests.fakes.mcp_server import Calendar
from tests.fakes.name_server import NameServer
from tests.fakes.receiver import Receiver
from tests.ports import free_port

SLOTS = Use("free_slots", {"day": "Monday"})


def profile(url: str, **settings: Any) -> dict[str, Any]:
    return {"tools": [{"type": "mcp", "name": "calendar", "url": url, **settings}]}


@pytest.mark.parametrize("transport", ["streamable_http", "sse"])
async def test_the_tools_of_a_server_are_the_agents(transport: str) -> None:
    async with Calendar().serving(transport) as calendar:
        settings = {"transport": transport, "headers": {"X-Key": "k"}}
        async with conversation(profile(calendar.url, **settings), SLOTS, "At nine.") as voice:
            run = await turn(voice, "When?")
            run.expect.contains_function_call_output(output="Monday: 09:00, 11:30")
            assert model_of(voice).offered[0] == ["free_slots", "book", "report"]
        assert {headers["x-key"] for headers in calendar.headers} == {"k"}


async def test_allowed_tools_are_the_only_ones() -> None:
    async with Calendar().serving() as calendar:
        settings = {"allowed_tools": ["free_slots"]}
        async with conversation(profile(calendar.url, **settings), "Hello.") as voice:
            await turn(voice, "Hello?")
            assert model_of(voice).offered == [["free_slots"]]


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (Use("book", {"day": "Sunday"}), "no appointment on Sunday"),
        (Use("report"), "report failed: the answer is longer than 8192 bytes"),
    ],
)
async def test_a_tool_that_fails_is_told_to_the_model(use: Use, said: str) -> None:
    async with (
        Calendar().serving() as calendar,
        conversation(profile(calendar.url), use, "Sorry.") as voice,
    ):
        run = await turn(voice, "Please.")
    (output,) = (event.item for event in run.events if event.type == "function_call_output")
    assert output.is_error
    assert said in output.output


async def test_a_tool_that_hangs_is_given_up() -> None:
    async with Calendar().serving() as calendar:
        calendar.hang_until.clear()
        async with conversation(profile(calendar.url, timeout=0.5), SLOTS, "Sorry.") as voice:
            run = await turn(voice, "When?")
    run.expect.contains_function_call_output(output="no answer within 0.5 s", is_error=True)


async def test_a_server_that_dies_in_the_call_is_told_to_the_model() -> None:
    async with (
        Calendar().serving() as calendar,
        conversation(profile(calendar.url), SLOTS, "Sorry.") as voice,
    ):
        await calendar.stop()
        run = await turn(voice, "When?")
    (output,) = (event.item for event in run.events if event.type == "function_call_output")
    assert output.is_error
    assert output.output == "free_slots failed: Connection closed"


async def test_a_call_goes_on_without_a_server_that_is_dead(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dead = profile(f"http://127.0.0.1:{free_port()}/mcp?key=k3y")
    async with conversation(dead, "Hello.") as voice:
        run = await turn(voice, "Hello?")
        run.expect.contains_message(role="assistant")
        assert model_of(voice).offered == [[]]
    (line,) = (record for record in caplog.records if record.name == "agent.tools")
    assert (vars(line)["tool"], vars(line)["error"]) == ("calendar", "no connection")
    assert "k3y" not in caplog.text


async def problem(url: str, allowed: Sequence[str] = ("127.0.0.1",), **settings: Any) -> str:
    profiles = {"clinic": profile(url, **settings)}
    agents = AgentsFile.model_validate({"profiles": profiles, "allowed_hosts": list(allowed)})
    lines = await server_problems(agents)
    return lines[0].removeprefix("profiles.clinic.tools[0]: MCP server calendar: ") if lines else ""


async def test_what_is_wrong_with_a_server_is_known_before_calls_come(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Calendar().serving() as calendar:
        assert await problem(calendar.url) == ""
        missing = await problem(calendar.url, allowed_tools=["free_slots", "cancel"])
        assert missing == "has no tool cancel"
        assert await problem(calendar.url.replace("/mcp", "/other")) == "Not Found"
    assert await problem(calendar.url) == "no connection"
    receiver.answer = lambda _: 401
    assert await problem(receiver.url) == "Server returned an error response"
    monkeypatch.setattr(available, "CHECK_TIMEOUT", 0.2)
    receiver.hang_until = asyncio.Event()
    assert await problem(receiver.url) == "no answer within 0.2 s"


async def test_a_server_in_a_private_network_must_be_allowed(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "FRESH", 0.0)
    private = "has a private address: name it in allowed_hosts"
    async with Calendar().serving() as calendar:
        assert await problem(calendar.url, ()) == f"127.0.0.1 {private.replace('has', 'is', 1)}"
        named = calendar.url.replace("127.0.0.1", "n8n.example.com")
        name_server.addresses["n8n.example.com"] = ["127.0.0.1"]
        assert await problem(named, ()) == f"n8n.example.com {private}"
        assert not calendar.headers
        for allowed in ("n8n.example.com", "127.0.0.0/8"):
            assert await problem(named, [allowed]) == ""
        hosts = {headers["host"].partition(":")[0] for headers in calendar.headers}
        assert hosts == {"n8n.example.com"}


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_to_another_host_is_not_followed(receiver: Receiver, status: int) -> None:
    async with Receiver().serving() as target:
        receiver.answer = lambda _: status
        receiver.headers["Location"] = target.url
        assert await problem(receiver.url)
        assert not target.raw
