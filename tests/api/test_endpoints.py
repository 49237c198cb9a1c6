"""Every endpoint refuses clients that do not authenticate, and does nothing for them."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from livekit import api

from gateway.api.auth import DISPATCH, JAMBONZ, LIVEKIT, READ, Authentication
from gateway.api.client_address import ClientGroup
from gateway.api.routes import ENDPOINTS
from gateway.app import create_app
from gateway.calls.destinations import Credentials
from gateway.jambonz.basic_auth import encode
from gateway.jambonz.signature import sign
from gateway.web.routes import PAGES
from tests.conftest import (
    DISPATCH_KEY,
    READ_KEY,
    WEBHOOK_SECRET,
    Client,
    ConfigMaker,
    GatewayStarter,
    get_call,
    jambonz_for,
    list_calls,
)
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit

#: By method and path, as declared.
AUTHENTICATION = {(each.method, each.path): each.authentication for each in ENDPOINTS}
GUARDED = [endpoint for endpoint, authentication in AUTHENTICATION.items() if authentication]
WITH_DISPATCH_KEY = [
    each for each, authentication in AUTHENTICATION.items() if authentication is DISPATCH
]
OPEN = [endpoint for endpoint, authentication in AUTHENTICATION.items() if not authentication]
ELSEWHERE = {"security": {str(group): ["192.0.2.1"] for group in ClientGroup}}


def test_only_these_endpoints_are_open_to_everyone() -> None:
    assert OPEN == [("OPTIONS", "/livekit-api"), ("GET", "/healthz"), ("GET", "/readyz")]


def test_only_these_endpoints_change_nothing_for_a_key_that_may_read() -> None:
    read = [
        endpoint for endpoint, authentication in AUTHENTICATION.items() if authentication is READ
    ]
    assert {method for method, _ in read} == {"GET"}


def test_every_route_is_a_declared_endpoint(make_config: ConfigMaker) -> None:
    routes = set()
    for route in create_app(make_config()).router.routes():
        resource = route.resource
        assert resource
        routes.add((route.method, resource.canonical))
    # aiohttp answers HEAD by the handler of GET.
    routes -= {("HEAD", path) for method, path in routes if method == "GET"}
    assert routes == AUTHENTICATION.keys() | {(page.method, page.path) for page in PAGES}


def right(whose: Authentication | None, body: bytes) -> dict[str, str]:
    if whose is JAMBONZ:
        return {"Jambonz-Signature": sign(body, WEBHOOK_SECRET, at=int(time.time()))}
    if whose is LIVEKIT:
        return {"Authorization": token(body, KEY, SECRET)}
    return {"X-API-Key": DISPATCH_KEY}


def token(body: bytes, key: str, secret: str) -> str:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(key, secret).with_sha256(digest).to_jwt()


def wrong(whose: Authentication | None, body: bytes) -> Iterator[dict[str, str]]:
    """Headers that do not authenticate a client at such an endpoint."""
    other = secrets.token_hex(32)
    yield {}
    yield {"Authorization": ""}
    yield {"Authorization": "Bearer é\udcff".encode("utf-8", "surrogateescape").decode("latin-1")}
    yield {"X-Forwarded-For": "127.0.0.1", "Authorization": f"Bearer {other}"}
    if whose is JAMBONZ:
        yield {"X-API-Key": DISPATCH_KEY}
        yield {"Authorization": encode(Credentials("jambonz", WEBHOOK_SECRET))}
        yield {"Jambonz-Signature": sign(body, other, at=int(time.time()))}
        yield {"Jambonz-Signature": sign(body + b" ", WEBHOOK_SECRET, at=int(time.time()))}
        yield {"Jambonz-Signature": sign(body, WEBHOOK_SECRET, at=int(time.time()) - 3600)}
    elif whose is LIVEKIT:
        yield {"X-API-Key": DISPATCH_KEY}
        yield {"Authorization": token(body, KEY, other)}
        yield {"Authorization": token(body, other, SECRET)}
        yield {"Authorization": token(body + b" ", KEY, SECRET)}
        yield {"Authorization": api.AccessToken(KEY, SECRET).to_jwt()}
    else:
        yield {"X-API-Key": other}
        yield {"X-API-Key": hashlib.sha256(DISPATCH_KEY.encode()).hexdigest()}
        yield {"Authorization": f"Basic {DISPATCH_KEY}"}
        yield {"Authorization": token(body, KEY, SECRET)}


class Visit:
    """A gateway with one call, and requests that must not change it."""

    def __init__(self, gateway: Client, livekit: FakeLiveKit, call: dict[str, Any]) -> None:
        self._gateway = gateway
        self._livekit = livekit
        self._call = call
        self._requests = len(livekit.requests)
        self.body = json.dumps(
            {
                "call_sid": call["jambonz"]["call_sid"],
                "call_status": "completed",
                "destination": "61402012298",
                "event": "agent_failed",
            }
        ).encode()

    async def refused(
        self, endpoint: tuple[str, str], headers: dict[str, str], status: int
    ) -> dict[str, Any]:
        """The endpoint refuses with `status` and asks LiveKit for nothing; the answer."""
        method, path = endpoint
        path = path.replace("{call_id}", self._call["call_id"]).replace("{delivery_id}", "1")
        all_headers = {"Content-Type": "application/json", **headers}
        data = None if method == "GET" else self.body
        async with self._gateway.request(method, path, data=data, headers=all_headers) as answer:
            content: dict[str, Any] = await answer.json()
            assert answer.status == status, (endpoint, headers, content)
        assert len(self._livekit.requests) == self._requests
        return content

    async def nothing_changed(self) -> None:
        assert await get_call(self._gateway, self._call["call_id"]) == self._call
        assert (await list_calls(self._gateway, "?include=ended"))["active"] == 1


@pytest.fixture
async def visit(start_gateway: GatewayStarter, fake_livekit: FakeLiveKit) -> Visit:
    # The deadline loop must not send requests to LiveKit meanwhile.
    gateway = await start_gateway(monitor={"interval": 60})
    (dial,) = await jambonz_for(gateway).call_arrives()
    call = await get_call(gateway, dial["headers"]["X-Call-Id"])
    return Visit(gateway, fake_livekit, call)


@pytest.mark.parametrize("endpoint", GUARDED)
async def test_a_client_that_does_not_authenticate_is_refused(
    visit: Visit, endpoint: tuple[str, str]
) -> None:
    for headers in wrong(AUTHENTICATION[endpoint], visit.body):
        await visit.refused(endpoint, headers, 401)
    await visit.nothing_changed()


@pytest.mark.parametrize("endpoint", WITH_DISPATCH_KEY)
async def test_a_key_that_may_only_read_is_refused(visit: Visit, endpoint: tuple[str, str]) -> None:
    for headers in ({"X-API-Key": READ_KEY}, {"Authorization": f"Bearer {READ_KEY}"}):
        refusal = await visit.refused(endpoint, headers, 403)
        assert refusal["error"] == "forbidden"
    await visit.nothing_changed()


@pytest.mark.parametrize("endpoint", GUARDED)
async def test_an_address_that_is_not_listed_is_refused(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, endpoint: tuple[str, str]
) -> None:
    """Even with valid authentication, and whatever X-Forwarded-For says."""
    gateway = await start_gateway(monitor={"interval": 60}, **ELSEWHERE)
    whose, body = AUTHENTICATION[endpoint], b"{}"
    assert whose
    path = endpoint[1].replace("{call_id}", "call-1").replace("{delivery_id}", "1")
    for headers in (right(whose, body), {**right(whose, body), "X-Forwarded-For": "192.0.2.1"}):
        async with gateway.request(endpoint[0], path, data=body, headers=headers) as answer:
            refusal = await answer.json()
            assert (answer.status, refusal["error"]) == (403, "address_not_allowed")
            assert "127.0.0.1" in refusal["message"]
            assert f"security.{whose.group}" in refusal["message"]
    assert not fake_livekit.requests


@pytest.mark.parametrize("endpoint", OPEN)
async def test_open_endpoints_are_open_to_every_address(
    start_gateway: GatewayStarter, endpoint: tuple[str, str]
) -> None:
    gateway = await start_gateway(**ELSEWHERE)
    async with gateway.request(*endpoint) as answer:
        assert answer.status == 200
