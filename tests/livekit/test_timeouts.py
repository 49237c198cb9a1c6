"""Requests to a LiveKit that answers wrongly, or on whose connections nothing passes any more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from google.protobuf.message import DecodeError
from livekit import api
from livekit.protocol.room import CreateRoomRequest

from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable
from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import RoomRequest
from gateway.livekit.sip import SipParticipantRequest, SipParticipants
from gateway.livekit.timeouts import once, retried
from tests.fakes.livekit import GARBAGE, KEY, SECRET, FakeLiveKit, Raw
from tests.fakes.tcp_proxy import TcpProxy

ROOM = RoomRequest("call-1", agent_name="agent", metadata="", job_metadata="", empty_timeout=30)
Requests = Callable[[LiveKit], Awaitable[object]]


@pytest.fixture
async def livekit(fake_livekit: FakeLiveKit) -> AsyncIterator[LiveKit]:
    async with LiveKit.connected(fake_livekit.url, KEY, SECRET, timeout=0.5) as livekit:
        yield livekit


@pytest.fixture
async def proxy(fake_livekit: FakeLiveKit) -> AsyncIterator[TcpProxy]:
    async with TcpProxy.serving(urlsplit(fake_livekit.url).port or 0) as proxy:
        yield proxy


def dial(livekit: LiveKit) -> Awaitable[None]:
    participant = SipParticipantRequest("call-1", "61402012298", "leg", ringing_timeout=1)
    return SipParticipants(livekit).dial(participant)


REQUESTS: dict[str, Requests] = {
    "create a room": lambda livekit: livekit.create_room(ROOM),
    "delete a room": lambda livekit: livekit.delete_room("call-1"),
    "find a dispatch": lambda livekit: livekit.find_dispatch("call-1", "agent"),
    "list rooms": lambda livekit: livekit.rooms("call-1"),
    "list all rooms": lambda livekit: livekit.rooms(),
    "list participants": lambda livekit: livekit.participants("call-1"),
    "remove": lambda livekit: livekit.remove_participant("call-1", "leg"),
    "list trunks": lambda livekit: livekit.call(
        lambda client: client.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
    ),
    "dial": dial,
}


@pytest.mark.field("D1")
@pytest.mark.parametrize("garbage", GARBAGE, ids=str)
async def test_whatever_livekit_answers_becomes_an_error_of_ours(
    livekit: LiveKit, fake_livekit: FakeLiveKit, garbage: Raw
) -> None:
    fake_livekit.failures.extend([garbage] * 1000)
    requests = (request(livekit) for request in REQUESTS.values())
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    for name, outcome in zip(REQUESTS, outcomes, strict=True):
        assert isinstance(outcome, LiveKitError), name
        assert outcome.is_unavailable, name


@pytest.mark.field("D1")
@pytest.mark.parametrize("garbage", GARBAGE, ids=str)
async def test_one_wrong_answer_is_passed_over_where_a_repetition_is_safe(
    livekit: LiveKit, fake_livekit: FakeLiveKit, garbage: Raw
) -> None:
    fake_livekit.failures.append(garbage)
    assert await livekit.create_room(ROOM) == "RM_call-1"
    assert len(fake_livekit.requested(CreateRoomRequest)) == 2


@pytest.mark.field("D1")
@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"invalid API key: fake\n", "text/plain", "invalid API key: fake"),
        (b"<h1>no</h1>", "text/html", "HTTP 401 with text/html"),
        (b'{"code": "unauthenticated", "msg": "no"}', "application/json", "no"),
    ],
)
async def test_a_refusal_says_what_livekit_said(
    livekit: LiveKit, fake_livekit: FakeLiveKit, body: bytes, content_type: str, reason: str
) -> None:
    fake_livekit.failures.append(Raw(401, body, content_type))
    with pytest.raises(LiveKitRefused) as refusal:
        await livekit.ping()
    assert (refusal.value.status, refusal.value.reason) == (401, reason)


#: What has been seen to leave livekit-api, aiohttp and protobuf, and what might.
EXCEPTIONS = [
    DecodeError("Error parsing message"),
    AttributeError("'list' object has no attribute 'get'"),
    TypeError("string indices must be integers"),
    ValueError("Expecting value"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    KeyError("code"),
    RuntimeError("Session is closed"),
    OSError("no route to host"),
    RecursionError(),
]


@pytest.mark.field("D1")
@pytest.mark.parametrize("error", EXCEPTIONS, ids=repr)
async def test_no_other_exception_leaves_the_border(error: Exception) -> None:
    async def attempt(*_: object) -> None:
        raise error

    for request in (once(attempt, timeout=0.1), retried(attempt, timeout=0.1)):
        with pytest.raises(LiveKitUnreachable):
            await request


@pytest.mark.field("D1")
async def test_a_defect_of_ours_is_logged_and_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    attempts = 0

    async def attempt(_: bool) -> None:
        nonlocal attempts
        attempts += 1
        raise AttributeError("no such field")

    with pytest.raises(LiveKitUnreachable, match="AttributeError"):
        await retried(attempt, timeout=1.0)
    assert attempts == 1
    output = capsys.readouterr().out
    assert "livekit.request_crashed" in output
    assert "no such field" in output


@pytest.mark.field("D2")
async def test_a_request_outlives_connections_that_have_gone_silent(
    fake_livekit: FakeLiveKit, proxy: TcpProxy
) -> None:
    """None of the callers waits for `livekit.timeout`, however many connections are pooled."""
    url = f"http://127.0.0.1:{proxy.port}"
    async with LiveKit.connected(url, KEY, SECRET, timeout=8.0) as livekit:
        await asyncio.gather(*(livekit.ping() for _ in range(20)))
        for _ in range(3):
            proxy.silence()
            async with asyncio.timeout(5):
                await asyncio.gather(*(livekit.create_room(ROOM) for _ in range(10)))
                await livekit.participants("call-1")


@pytest.mark.field("D2")
async def test_a_dial_never_takes_a_connection_that_was_used_before(
    fake_livekit: FakeLiveKit, proxy: TcpProxy
) -> None:
    url = f"http://127.0.0.1:{proxy.port}"
    async with LiveKit.connected(url, KEY, SECRET, timeout=1.0) as livekit:
        await livekit.create_room(ROOM)
        await dial(livekit)
        proxy.silence()
        await dial(livekit)


@pytest.mark.field("D2")
async def test_a_new_connection_has_the_whole_timeout() -> None:
    """To a LiveKit far away the handshakes alone may take longer than a used connection's limit."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.6)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/protobuf\r\nContent-Length: 0\r\n\r\n"
        )
        connections.append(writer)

    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        LiveKit.connected(f"http://127.0.0.1:{port}", KEY, SECRET, timeout=2.0) as livekit,
    ):
        await livekit.ping()
        assert len(connections) == 1
    connections[0].close()
