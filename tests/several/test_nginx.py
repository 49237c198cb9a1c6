"""The shipped nginx configuration: what it lets through, to whom, and what it writes down."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.several.group import DISPATCH, READ, Group
from tests.several.nginx import STRANGER, Running, written

LEAST = {"destination": "61491570156", "account_code": "em-tech-01"}

pytestmark = pytest.mark.server


def test_nginx_takes_the_shipped_file(tmp_path: Path) -> None:
    says = written(tmp_path, (8000, 8001)).check()
    assert "test is successful" in says
    assert "warn" not in says


@asynccontextmanager
async def stranger(group: Group) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(
        ssl=group.running.nginx.trust, local_addr=(STRANGER, 0), force_close=True
    )
    async with aiohttp.ClientSession(group.url, connector=connector) as session:
        yield session


async def test_each_door_for_whom_it_is(group: Group) -> None:
    async with stranger(group) as session:
        for method, path, headers in (
            ("POST", "/dispatch", DISPATCH),
            ("GET", "/livekit-api/calls", READ),
            ("GET", "/livekit-api/calls/call-1", READ),
            ("POST", "/livekit-api/calls/call-1/hangup", DISPATCH),
            ("GET", "/livekit-api/events", READ),
            ("GET", "/livekit-api/diagnostics", READ),
            ("GET", "/readyz", {}),
            ("GET", "/metrics", {}),
            ("GET", "/openapi.json", {}),
            ("GET", "/", {}),
        ):
            async with session.request(method, path, headers=headers) as answer:
                assert (path, answer.status) == (path, 403)
                assert (await answer.json())["error"] == "forbidden"
        # These prove themselves to the gateway, which says what is missing.
        for path in ("/livekit-api", "/livekit-simple", "/livekit/webhook"):
            async with session.post(path, json={}) as answer:
                assert (path, answer.status) == (path, 401)
        for path in ("/dispatch/with-key", "/dispatch/without-key", "/error", "/.env"):
            async with session.post(path, json={}, headers=DISPATCH) as answer:
                assert (path, answer.status) == (path, 404)
        async with session.get("/healthz") as answer:
            assert answer.status == 200
    async with group.http.get(f"{group.url}/readyz") as answer:
        assert answer.status == 200


async def test_its_limits_are_the_gateways(group: Group) -> None:
    async with group.http.post(f"{group.url}/livekit-api", data=io.BytesIO(b"x" * 2**20)) as answer:
        assert answer.status == 401  # the gateway's answer: it had the body
    too_large = io.BytesIO(b"x" * (2**20 + 1))
    async with group.http.post(f"{group.url}/livekit-api", data=too_large) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"] == "too_large"


async def test_nothing_personal_is_logged(group: Group) -> None:
    await group.dispatch({**LEAST, "wait": "none"})
    await group.calls("from_number=%2B15550100&to_number=61491570156")
    for gateway in group.gateways:
        gateway.kill()
    async with group.http.get(
        f"{group.url}/livekit-api/calls?from_number=%2B15550100", headers=READ
    ) as answer:
        assert answer.status == 502
        assert answer.headers["Retry-After"] == "1"
        assert (await answer.json())["error"] == "gateway_unavailable"
    await group.logged(" /livekit-api/calls 502 ")
    folder = group.running.nginx.folder
    written_down = (folder / "access.log").read_text() + (folder / "error.log").read_text()
    assert "/dispatch" in written_down
    for number in ("15550100", "61491570156", *READ.values(), *DISPATCH.values()):
        assert number not in written_down


class Scripted:
    """A gateway that closes the connection on what it is sent, or keeps silent, and counts."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answer: int | None = None

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        if self.answer:
            return web.json_response({}, status=self.answer)
        assert request.transport
        request.transport.close()
        return web.Response()


@pytest.mark.parametrize(
    ("path", "headers", "repeated"),
    [
        ("/livekit-api", {}, True),
        ("/livekit-api/call-status", {}, True),
        ("/livekit-api/dial-action?fallback=1", {}, True),
        ("/livekit/webhook", {}, True),
        ("/livekit-api/calls/call-1/report", {}, True),
        ("/dispatch", {"Idempotency-Key": "k"}, True),
        ("/dispatch", {}, False),
        ("/livekit-api/calls/call-1/transfer", {}, False),
    ],
)
async def test_what_is_repeated_at_another_gateway(
    tmp_path: Path, path: str, headers: dict[str, str], repeated: bool
) -> None:
    """The connection is lost after the request was sent: who knows whether it was acted on."""
    scripted = Scripted()
    app = web.Application()
    app.router.add_post("/{tail:.*}", scripted.take)
    async with TestServer(app) as one, TestServer(app) as other:
        assert one.port
        assert other.port
        nginx = written(tmp_path, (one.port, other.port))
        running = await asyncio.to_thread(Running, nginx)
        try:
            connector = aiohttp.TCPConnector(ssl=nginx.trust)
            async with aiohttp.ClientSession(nginx.url, connector=connector) as session:
                async with session.post(path, json={"n": 1}, headers=headers) as answer:
                    assert answer.status == 502
                assert [json.loads(body) for body in scripted.bodies] == [{"n": 1}] * (1 + repeated)
                # A gateway's own 502 and 503 are answers, not reasons to ask elsewhere.
                for status in (503, 502):
                    scripted.bodies.clear()
                    scripted.answer = status
                    async with session.post(path, json={"n": 1}, headers=headers) as answer:
                        assert (answer.status, await answer.json()) == (status, {})
                    assert len(scripted.bodies) == 1
        finally:
            await asyncio.to_thread(running.stop)
