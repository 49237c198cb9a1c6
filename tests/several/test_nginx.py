"""The shipped nginx configuration: which requests it lets through, and what it logs."""

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

from gateway.jambonz.websocket import SUBPROTOCOL
from tests.several.group import DISPATCH, READ, Group
from tests.several.nginx import UNKNOWN_ADDRESS, Nginx, configured_nginx

LEAST = {"destination": "61491570156", "account_code": "em-tech-01"}

pytestmark = pytest.mark.server


def test_nginx_accepts_the_shipped_file(tmp_path: Path) -> None:
    output = configured_nginx(tmp_path, (8000, 8001)).check()
    assert "test is successful" in output
    assert "warn" not in output


@asynccontextmanager
async def unknown_client(group: Group) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(
        ssl=group.nginx.config.trust, local_addr=(UNKNOWN_ADDRESS, 0), force_close=True
    )
    async with aiohttp.ClientSession(group.url, connector=connector) as session:
        yield session


async def test_unknown_addresses_reach_only_what_is_for_them(group: Group) -> None:
    async with unknown_client(group) as session:
        for method, path, headers in (
            ("POST", "/dispatch", DISPATCH),
            ("GET", "/livekit-api/calls", READ),
            ("GET", "/livekit-api/calls/call-1", READ),
            ("POST", "/livekit-api/calls/call-1/hangup", DISPATCH),
            ("GET", "/livekit-api/events", READ),
            ("GET", "/livekit-api/diagnostics", READ),
            ("GET", "/readyz", {}),
            ("GET", "/metrics", {}),
            ("GET", "/docs", {}),
            ("GET", "/calls/call-1", {}),
            ("GET", "/sign-in", {}),
            ("GET", "/static/1/app.css", {}),
            ("GET", "/openapi.json", {}),
            ("GET", "/", {}),
        ):
            async with session.request(method, path, headers=headers) as response:
                assert (path, response.status) == (path, 403)
                assert (await response.json())["error"] == "forbidden"
        # The gateway authenticates these requests.
        for path in ("/livekit-api", "/livekit-simple", "/livekit/webhook"):
            async with session.post(path, json={}) as response:
                assert (path, response.status) == (path, 401)
        for path in (
            "/dispatch/with-key",
            "/dispatch/without-key",
            "/call-hook/post",
            "/call-hook/socket",
            "/error",
            "/.env",
        ):
            async with session.post(path, json={}, headers=DISPATCH) as response:
                assert (path, response.status) == (path, 404)
        async with session.get("/healthz") as response:
            assert response.status == 200
    async with group.http.get(f"{group.url}/readyz") as response:
        assert response.status == 200


async def test_the_body_limit_is_that_of_the_gateway(group: Group) -> None:
    body = io.BytesIO(b"x" * 2**20)
    async with group.http.post(f"{group.url}/livekit-api", data=body) as response:
        assert response.status == 401, "the gateway should have received the body"
    too_large = io.BytesIO(b"x" * (2**20 + 1))
    async with group.http.post(f"{group.url}/livekit-api", data=too_large) as response:
        assert response.status == 413
        assert (await response.json())["error"] == "too_large"


async def test_logs_contain_no_numbers_and_no_keys(group: Group) -> None:
    await group.dispatch({**LEAST, "wait": "none"})
    await group.list_calls("from_number=%2B15550100&to_number=61491570156")
    for gateway in group.gateways:
        gateway.kill()
    async with group.http.get(
        f"{group.url}/livekit-api/calls?from_number=%2B15550100", headers=READ
    ) as response:
        assert response.status == 502
        assert response.headers["Retry-After"] == "1"
        assert (await response.json())["error"] == "gateway_unavailable"
    await group.wait_for_log(" /livekit-api/calls 502 ")
    folder = group.nginx.config.folder
    logs = (folder / "access.log").read_text() + (folder / "error.log").read_text()
    assert "/dispatch" in logs
    for secret in ("15550100", "61491570156", *READ.values(), *DISPATCH.values()):
        assert secret not in logs


@pytest.mark.field("J10")
async def test_a_websocket_passes_through(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        await socket.send_str(f"{request.path} {request.headers['X-Forwarded-For']}")
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/{tail:.*}", echo)
    async with TestServer(app) as first, TestServer(app) as second:
        assert first.port
        assert second.port
        config = configured_nginx(tmp_path, (first.port, second.port))
        nginx = await asyncio.to_thread(Nginx, config)
        try:
            connector = aiohttp.TCPConnector(ssl=config.trust)
            async with (
                aiohttp.ClientSession(config.url, connector=connector) as session,
                session.ws_connect("/livekit-api", protocols=(SUBPROTOCOL,)) as socket,
            ):
                assert socket.protocol == SUBPROTOCOL
                assert await socket.receive_str() == "/livekit-api 127.0.0.1"
                await socket.send_str("session:new")
                assert await socket.receive_str() == "session:new"
        finally:
            await asyncio.to_thread(nginx.stop)


class ClosingGateway:
    """Records bodies; without a `status` it closes the connection instead of responding."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status: int | None = None

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        if self.status:
            return web.json_response({}, status=self.status)
        assert request.transport
        request.transport.close()
        return web.Response()


@pytest.mark.parametrize(
    ("path", "headers", "is_repeated"),
    [
        ("/livekit-api", {}, True),
        ("/livekit-api/call-status", {}, True),
        ("/livekit-api/dial-action?fallback=1", {}, True),
        ("/livekit/webhook", {}, True),
        ("/livekit-api/calls/call-1/report", {}, True),
        ("/dispatch", {"Idempotency-Key": "k"}, True),
        ("/dispatch", {}, False),
        ("/livekit-api/calls/call-1/transfer", {}, False),
        ("/livekit-api/calls/call-1/report/transfer", {}, False),
        ("/livekit-api/confirm-action?call_id=call-1", {}, True),
    ],
)
async def test_only_requests_that_may_be_repeated_go_to_the_second_gateway(
    tmp_path: Path, path: str, headers: dict[str, str], is_repeated: bool
) -> None:
    """The connection closes after the request was sent: the gateway may have acted on it."""
    gateway = ClosingGateway()
    app = web.Application()
    app.router.add_post("/{tail:.*}", gateway.handle)
    async with TestServer(app) as first, TestServer(app) as second:
        assert first.port
        assert second.port
        config = configured_nginx(tmp_path, (first.port, second.port))
        nginx = await asyncio.to_thread(Nginx, config)
        try:
            connector = aiohttp.TCPConnector(ssl=config.trust)
            async with aiohttp.ClientSession(config.url, connector=connector) as session:
                async with session.post(path, json={"n": 1}, headers=headers) as response:
                    assert response.status == 502
                bodies = [json.loads(body) for body in gateway.bodies]
                assert bodies == [{"n": 1}] * (1 + is_repeated)
                # A gateway's own 502 and 503 are responses: nginx passes them on.
                for status in (503, 502):
                    gateway.bodies.clear()
                    gateway.status = status
                    async with session.post(path, json={"n": 1}, headers=headers) as response:
                        assert (response.status, await response.json()) == (status, {})
                    assert len(gateway.bodies) == 1
        finally:
            await asyncio.to_thread(nginx.stop)
