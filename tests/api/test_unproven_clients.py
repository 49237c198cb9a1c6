"""Clients that prove nothing cost nobody else: their connections and bodies, on real sockets."""

import asyncio
import contextlib
import json
import time

import pytest

from gateway.api import limits
from gateway.api.services import SERVICES
from gateway.jambonz.signature import sign
from tests.api.sockets import AUTHENTICATED, HEALTH, LIMIT, Starter, answer, to_the_end
from tests.conftest import WEBHOOK_SECRET

pytestmark = pytest.mark.field("F6")


async def test_connections_that_prove_nothing_make_room_for_others(start: Starter) -> None:
    gateway = await start(max_connections=3)
    reader, writer = proven = await gateway.connect()
    writer.write(AUTHENTICATED)
    assert await answer(reader) == b"HTTP/1.1 200 OK"
    silent, _ = await gateway.connect()
    reader, writer = anonymous = await gateway.connect()
    writer.write(HEALTH)
    assert await answer(reader) == b"HTTP/1.1 200 OK"
    for _ in range(10):  # each closes one of those before it, the silent one first
        new = await gateway.connect()
        new[1].write(HEALTH)
        assert await answer(new[0]) == b"HTTP/1.1 200 OK"
        assert await to_the_end(silent) == b""
    assert await to_the_end(anonymous[0]) == b""
    proven[1].write(AUTHENTICATED)
    assert await answer(proven[0]) == b"HTTP/1.1 200 OK"


def head(path: str, *headers: str, length: int) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: gateway", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def forged() -> str:
    return f"Jambonz-Signature: t={int(time.time())},v1={'0' * 64}"


#: Each endpoint with a body, and headers that look right and prove nothing.
WITHOUT_PROOF = [
    ("/livekit-api", "Jambonz-Signature: t=1,v1=00"),
    ("/livekit-api", "X-API-Key: nonsense"),
    ("/livekit-simple", f"Jambonz-Signature: t={10**11},v1=00"),
    ("/livekit-api/dial-action", "Jambonz-Signature: nonsense"),
    ("/dispatch", "X-API-Key: nonsense"),
    ("/livekit-api/calls/call-1/transfer", "Authorization: Bearer nonsense"),
    ("/livekit/webhook", "Authorization: nonsense"),
    ("/livekit-api/calls/call-1/report", "Authorization: nonsense"),
]


@pytest.mark.parametrize(("path", "header"), WITHOUT_PROOF)
async def test_who_proves_nothing_is_refused_with_the_body_unread(
    start: Starter, path: str, header: str
) -> None:
    gateway = await start()
    reader, writer = await gateway.connect()
    writer.write(head(path, header, length=1_000_000))
    assert await answer(reader) == b"HTTP/1.1 401 Unauthorized"


@pytest.mark.parametrize(("length", "is_read"), [(1_000_000, False), (1_000, True)])
async def test_the_rest_of_a_long_body_is_not_read(
    start: Starter, length: int, is_read: bool
) -> None:
    gateway = await start()
    reader, writer = await gateway.connect()
    writer.write(head("/dispatch", "X-API-Key: nonsense", length=length))
    assert await answer(reader) == b"HTTP/1.1 401 Unauthorized"
    (connection,) = gateway.connections.open
    assert isinstance(connection.transport, asyncio.Transport)
    assert connection.transport.is_reading() == is_read


async def test_a_client_that_asks_before_it_sends_its_body_is_told(start: Starter) -> None:
    gateway = await start()
    reader, writer = await gateway.connect()
    writer.write(head("/livekit-api", "Expect: 100-continue", length=1_000_000))
    assert await answer(reader) == b"HTTP/1.1 401 Unauthorized"
    body = json.dumps({"call_sid": "1", "from": "+15550100", "to": "+15550199"}).encode()
    signature = f"Jambonz-Signature: {sign(body, WEBHOOK_SECRET, at=int(time.time()))}"
    reader, writer = await gateway.connect()
    writer.write(head("/livekit-api", signature, "Expect: 100-continue", length=len(body)))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert await answer(reader) == b"HTTP/1.1 200 OK"


async def test_a_body_that_is_announced_as_too_large_is_not_waited_for(start: Starter) -> None:
    gateway = await start(max_body_bytes=2000)
    reader, writer = await gateway.connect()
    writer.write(head("/livekit-api", forged(), length=2001))
    assert await answer(reader) == b"HTTP/1.1 413 Request Entity Too Large"


async def test_bodies_without_proof_are_bounded_together_and_leave_room_for_hooks(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forged signatures, whose bodies hang: long ones are refused, short ones are not."""
    monkeypatch.setattr(limits, "LONG_BODIES", 200_000)
    gateway = await start(max_requests=2)
    refused = 0
    for _ in range(10):
        reader, writer = await gateway.connect()
        writer.write(head("/livekit-api", forged(), length=100_000) + b" " * 90_000)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                refused += (await reader.read(12)) == b"HTTP/1.1 503"
    assert refused == 8
    body = json.dumps({"call_sid": "1", "from": "+15550100", "to": "+15550199"}).encode()
    signature = f"Jambonz-Signature: {sign(body, WEBHOOK_SECRET, at=int(time.time()))}"
    for _ in range(5):
        reader, writer = await gateway.connect()
        writer.write(head("/livekit-api", signature, length=len(body)) + body)
        assert await answer(reader) == b"HTTP/1.1 200 OK"
    assert gateway.app[SERVICES].limits.refused == {"overloaded": 8}
    await gateway.leave()
    async with asyncio.timeout(LIMIT):
        while gateway.app[SERVICES].limits._long_bodies:
            await asyncio.sleep(0.01)


async def test_a_refused_body_that_cannot_be_decoded_is_no_error_of_ours(
    start: Starter, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start()
    reader, writer = await gateway.connect()
    writer.write(head("/dispatch", "Content-Encoding: gzip", length=2) + b"{}")
    assert await answer(reader) == b"HTTP/1.1 401 Unauthorized"
    assert await to_the_end(reader) == b""
    assert not caplog.records
