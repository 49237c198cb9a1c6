"""Slow clients and too many of them, on real sockets."""

import asyncio

import pytest

from gateway.api import connections
from gateway.api.services import SERVICES
from tests.api.sockets import AUTHENTICATED, HEALTH, LIMIT, Starter, answer, to_the_end
from tests.conftest import DISPATCH_KEY


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: gate"])
async def test_headers_that_do_not_arrive_close_the_connection(start: Starter, sent: bytes) -> None:
    gateway = await start(read_timeout=0.2)
    reader, writer = await gateway.connect()
    writer.write(sent)
    assert await to_the_end(reader) == b""
    assert gateway.app[SERVICES].limits.refused == {"too_slow": 1}


async def test_headers_that_come_byte_by_byte_close_it_too(start: Starter) -> None:
    gateway = await start(read_timeout=0.3)
    reader, writer = await gateway.connect()

    async def trickle() -> None:
        writer.write(b"GET /healthz HTTP/1.1\r\nX-Long: ")
        while True:
            writer.write(b"a")
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    assert await to_the_end(reader) == b""
    trickling.cancel()


async def test_a_second_request_has_its_time_from_its_first_byte_on(start: Starter) -> None:
    gateway = await start(read_timeout=0.2)
    reader, writer = await gateway.connect()
    writer.write(HEALTH)
    assert await answer(reader) == b"HTTP/1.1 200 OK"
    await asyncio.sleep(0.4)  # idle for longer than a request may take
    writer.write(HEALTH)
    assert await answer(reader) == b"HTTP/1.1 200 OK"
    writer.write(HEALTH[:20])
    assert await to_the_end(reader) == b""


async def test_an_idle_connection_is_closed(start: Starter) -> None:
    gateway = await start(keepalive_timeout=0.2)
    reader, writer = await gateway.connect()
    writer.write(HEALTH)
    assert await answer(reader) == b"HTTP/1.1 200 OK"
    assert await to_the_end(reader) == b""
    assert gateway.app[SERVICES].limits.refused == {}


async def test_a_body_that_does_not_arrive_is_a_408(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LINGERING_TIME", 0.2)
    gateway = await start(read_timeout=0.2)
    reader, writer = await gateway.connect()
    head = "POST /dispatch HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}X-API-Key: {DISPATCH_KEY}\r\nContent-Length: 100\r\n\r\n{{".encode())
    response = await to_the_end(reader)
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in response


async def test_headers_without_an_end_are_not_collected(start: Starter) -> None:
    gateway = await start(max_header_bytes=2048)
    reader, writer = await gateway.connect()
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    for number in range(8):
        writer.write(b"X-%d: %s\r\n" % (number, b"a" * 400))
    assert await to_the_end(reader) == b""
    assert gateway.app[SERVICES].limits.refused == {"headers_too_large": 1}


async def test_one_header_that_is_too_long_is_a_431(
    start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start(max_header_bytes=2048)
    reader, writer = await gateway.connect()
    writer.write(b"GET / HTTP/1.1\r\nAuthorization: Bearer hush-%s\r\n\r\n" % (b"a" * 4096))
    response = await to_the_end(reader)
    assert response.startswith(b"HTTP/1.0 431 ")
    assert b"hush" not in response
    assert "hush" not in caplog.text


async def test_what_is_no_http_gets_an_error_like_all_others(start: Starter) -> None:
    gateway = await start()
    reader, writer = await gateway.connect()
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    response = await to_the_end(reader)
    assert response.startswith(b"HTTP/1.0 400 ")
    assert b'"bad_request"' in response


async def test_connections_beyond_the_limit_are_closed_until_one_leaves(start: Starter) -> None:
    gateway = await start(max_connections=2)
    first, second = await gateway.connect(), await gateway.connect()
    for reader, writer in (first, second):
        writer.write(AUTHENTICATED)
        assert await answer(reader) == b"HTTP/1.1 200 OK"
    reader, _ = await gateway.connect()
    assert await to_the_end(reader) == b""
    assert gateway.app[SERVICES].limits.refused == {"too_many_connections": 1}

    first[1].close()
    async with asyncio.timeout(LIMIT):
        while True:
            reader, writer = await gateway.connect()
            writer.write(HEALTH)
            if await reader.read(12) == b"HTTP/1.1 200":
                break
