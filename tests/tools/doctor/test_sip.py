"""The checks of LiveKit's SIP host, and the OPTIONS request that they send."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.explanation.status import Status
from gateway.tools.doctor import sip
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.run import all_checks
from gateway.tools.doctor.sip import Host, host_and_port, options, read_response
from tests.conftest import ConfigMaker
from tests.ports import free_port
from tests.tools.doctor.conftest import run_check


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_host_that_answers(transport: str, sip_host: str, make_config: ConfigMaker) -> None:
    finding = await run_check(make_config({"LIVEKIT_SIP_HOST": sip_host}), f"sip_{transport}")
    assert finding.status is Status.OK
    assert f"{sip_host} answers OPTIONS with 200 OK" in finding.message


@pytest.mark.parametrize(
    ("used", "checked", "status"),
    [
        ("tcp", "tcp", Status.FAIL),
        ("tcp", "udp", Status.WARN),
        ("udp", "udp", Status.FAIL),
        ("udp", "tcp", Status.WARN),
        ("tls", "tls", Status.FAIL),
        ("tls", "tcp", Status.WARN),
    ],
)
async def test_a_host_where_nothing_listens(
    used: str, checked: str, status: Status, make_config: ConfigMaker
) -> None:
    config = make_config(
        {"LIVEKIT_SIP_HOST": f"127.0.0.1:{free_port()}", "GATEWAY__LIVEKIT__SIP_TRANSPORT": used}
    )
    finding = await run_check(config, f"sip_{checked}")
    assert finding.status is status
    assert "refuses connections" in finding.message
    assert ("livekit.sip_transport" in finding.next) is (status is Status.FAIL)


async def test_an_unanswered_udp_request_is_sent_again(
    make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip, "TIMEOUT", 0.2)
    monkeypatch.setattr(sip, "RESEND_PAUSES", (0.05, 0.05))
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(0)
        config = make_config({"LIVEKIT_SIP_HOST": f"127.0.0.1:{silent.getsockname()[1]}"})
        finding = await run_check(config, "sip_udp")
        sent = [silent.recv(2048) for _ in range(3)]
    assert finding.status is Status.WARN
    assert "does not answer within 0.2 s" in finding.message
    assert len(set(sent)) == 1


@asynccontextmanager
async def tcp_server_that_sends(words: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(2048)
        writer.write(words)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("transport", "words", "message"),
    [
        ("tcp", b"HTTP/1.1 400 Bad Request\r\n\r\n", "closes the connection without an answer"),
        ("tcp", b"", "closes the connection without an answer"),
        ("tls", b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
    ],
)
async def test_something_that_does_not_speak_sip(
    transport: str, words: bytes, message: str, make_config: ConfigMaker
) -> None:
    async with tcp_server_that_sends(words) as address:
        env = {"LIVEKIT_SIP_HOST": address, "GATEWAY__LIVEKIT__SIP_TRANSPORT": transport}
        finding = await run_check(make_config(env), f"sip_{transport}")
    assert finding.status is Status.FAIL
    assert message in finding.message


async def test_a_host_without_an_address(make_config: ConfigMaker) -> None:
    finding = await run_check(make_config({"LIVEKIT_SIP_HOST": "sip.invalid"}), "sip_host")
    assert finding.status is Status.FAIL
    assert "sip.invalid has no address" in finding.message


async def test_the_participant_strategy_needs_no_sip_host(
    make_config: ConfigMaker,
) -> None:
    config = make_config(inbound={"strategy": "participant"})
    async with Context.opened(config, {}, config.own_url) as context:
        ids = [check.id for check in all_checks(context) if check.id.startswith("sip_")]
    assert ids == ["sip_host"]
    assert (await run_check(config, "sip_host")).status is Status.SKIP


def test_the_options_request() -> None:
    host = Host("sip.example.com", "192.0.2.1", 5060)
    lines = options(host, "udp", ("192.0.2.7", 40_000), "0123456789abcdef").decode().split("\r\n")
    assert lines == [
        "OPTIONS sip:sip.example.com;transport=udp SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.7:40000;rport;branch=z9hG4bK0123456789abcdef",
        "Max-Forwards: 70",
        "From: <sip:doctor@192.0.2.7:40000>;tag=01234567",
        "To: <sip:sip.example.com>",
        "Call-ID: 0123456789abcdef",
        "CSeq: 1 OPTIONS",
        "Accept: application/sdp",
        "Content-Length: 0",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("data", "response"),
    [
        (b"SIP/2.0 200 OK\r\nCall-ID: abc\r\n\r\n", (200, "OK")),
        (b"SIP/2.0 405 Method Not Allowed\r\ni: abc\r\n\r\n", (405, "Method Not Allowed")),
        (b"SIP/2.0 100 Trying\r\nCall-ID: abc\r\n\r\n", None),
        (b"SIP/2.0 200 OK\r\nCall-ID: another\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nCall-ID: abc\r\n\r\n", None),
        (b"\xff\xfe", None),
    ],
)
def test_responses_are_parsed(data: bytes, response: tuple[int, str] | None) -> None:
    assert read_response(data, "abc") == response


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("sip.example.com", ("sip.example.com", None)),
        ("sip.example.com:5070", ("sip.example.com", 5070)),
        ("[2001:db8::1]:5070", ("2001:db8::1", 5070)),
    ],
)
def test_host_and_port(address: str, parts: tuple[str, int | None]) -> None:
    assert host_and_port(address) == parts
