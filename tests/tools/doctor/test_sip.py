"""A SIP host that answers, one that does not, and what is sent to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.tools.doctor import sip
from gateway.tools.doctor.check import Status
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.run import all_checks
from gateway.tools.doctor.sip import Host, host_and_port, options, read_answer
from tests.conftest import ConfigMaker
from tests.ports import free_port
from tests.tools.doctor.conftest import look


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_host_that_answers(transport: str, sip_host: str, make_config: ConfigMaker) -> None:
    told = await look(make_config({"LIVEKIT_SIP_HOST": sip_host}), f"sip_{transport}")
    assert told.status is Status.OK
    assert f"{sip_host} answers OPTIONS with 200 OK" in told.saw


@pytest.mark.parametrize(
    ("used", "asked", "status"),
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
    used: str, asked: str, status: Status, make_config: ConfigMaker
) -> None:
    config = make_config(
        {"LIVEKIT_SIP_HOST": f"127.0.0.1:{free_port()}", "GATEWAY__LIVEKIT__SIP_TRANSPORT": used}
    )
    told = await look(config, f"sip_{asked}")
    assert told.status is status
    assert "refuses connections" in told.saw
    assert ("livekit.sip_transport" in told.next) is (status is Status.FAIL)


async def test_a_host_that_keeps_silent_is_asked_again(
    make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip, "LIMIT", 0.2)
    monkeypatch.setattr(sip, "RESEND", (0.05, 0.05))
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(0)
        config = make_config({"LIVEKIT_SIP_HOST": f"127.0.0.1:{silent.getsockname()[1]}"})
        told = await look(config, "sip_udp")
        sent = [silent.recv(2048) for _ in range(3)]
    assert told.status is Status.WARN
    assert "does not answer within 0.2 s" in told.saw
    assert len(set(sent)) == 1


@asynccontextmanager
async def tcp_that_says(words: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(2048)
        writer.write(words)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("transport", "words", "saw"),
    [
        ("tcp", b"HTTP/1.1 400 Bad Request\r\n\r\n", "hangs up without an answer"),
        ("tcp", b"", "hangs up without an answer"),
        ("tls", b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
    ],
)
async def test_something_that_does_not_speak_sip(
    transport: str, words: bytes, saw: str, make_config: ConfigMaker
) -> None:
    async with tcp_that_says(words) as place:
        env = {"LIVEKIT_SIP_HOST": place, "GATEWAY__LIVEKIT__SIP_TRANSPORT": transport}
        told = await look(make_config(env), f"sip_{transport}")
    assert told.status is Status.FAIL
    assert saw in told.saw


async def test_a_host_without_an_address(make_config: ConfigMaker) -> None:
    told = await look(make_config({"LIVEKIT_SIP_HOST": "sip.invalid"}), "sip_host")
    assert told.status is Status.FAIL
    assert "sip.invalid has no address" in told.saw


async def test_where_livekit_dials_its_host_is_not_asked(make_config: ConfigMaker) -> None:
    config = make_config(inbound={"strategy": "participant"})
    async with Context.opened(config, {}, config.own_url) as site:
        ids = [check.id for check in all_checks(site) if check.id.startswith("sip_")]
    assert ids == ["sip_host"]
    assert (await look(config, "sip_host")).status is Status.SKIP


def test_a_request_is_as_rfc_3261_has_it() -> None:
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
    ("data", "answer"),
    [
        (b"SIP/2.0 200 OK\r\nCall-ID: abc\r\n\r\n", (200, "OK")),
        (b"SIP/2.0 405 Method Not Allowed\r\ni: abc\r\n\r\n", (405, "Method Not Allowed")),
        (b"SIP/2.0 100 Trying\r\nCall-ID: abc\r\n\r\n", None),
        (b"SIP/2.0 200 OK\r\nCall-ID: another\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nCall-ID: abc\r\n\r\n", None),
        (b"\xff\xfe", None),
    ],
)
def test_answers(data: bytes, answer: tuple[int, str] | None) -> None:
    assert read_answer(data, "abc") == answer


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
