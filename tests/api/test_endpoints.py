"""One table of all doors: who may come in, and that nobody else does anything there.

A door that the table does not know fails the test: whoever adds one says whose it is.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from livekit import api

from gateway.api.client_address import ClientGroup
from gateway.app import create_app
from gateway.calls.destinations import Credentials
from gateway.jambonz.basic_auth import encode
from gateway.jambonz.signature import sign
from gateway.security.api_keys import Role
from tests.conftest import (
    DISPATCH_KEY,
    READ_KEY,
    WEBHOOK_SECRET,
    Client,
    ConfigMaker,
    GatewayStarter,
    jambonz_for,
    listed,
    shown,
)
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit

HOOKS, READ, DISPATCH, TOKEN = "jambonz", Role.READ, Role.DISPATCH, "livekit"
#: Whoever asks gets nothing that is not in the documentation, but for readiness.
OPEN = "open"

ENDPOINTS = {
    ("POST", "/livekit-api"): HOOKS,
    ("OPTIONS", "/livekit-api"): OPEN,
    ("POST", "/livekit-api/dial-action"): HOOKS,
    ("POST", "/livekit-api/call-status"): HOOKS,
    ("POST", "/livekit-api/refer"): HOOKS,
    ("POST", "/livekit-api/transfer-action"): HOOKS,
    ("POST", "/livekit-api/queue-wait"): HOOKS,
    ("POST", "/livekit-api/queue-action"): HOOKS,
    ("POST", "/livekit-simple"): HOOKS,
    ("POST", "/dispatch"): DISPATCH,
    ("POST", "/livekit-api/calls/{call_id}/hangup"): DISPATCH,
    ("POST", "/livekit-api/calls/{call_id}/transfer"): DISPATCH,
    ("POST", "/livekit-api/calls/{call_id}/deliveries/{delivery_id}/retry"): DISPATCH,
    ("GET", "/livekit-api/calls"): READ,
    ("GET", "/livekit-api/calls/{call_id}"): READ,
    ("GET", "/livekit-api/diagnostics"): READ,
    ("GET", "/livekit-api/events"): READ,
    ("GET", "/openapi.json"): READ,
    ("POST", "/livekit-api/calls/{call_id}/report"): TOKEN,
    ("POST", "/livekit/webhook"): TOKEN,
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
}
GUARDED = [door for door, whose in ENDPOINTS.items() if whose != OPEN]
WITH_KEYS = [door for door, whose in ENDPOINTS.items() if isinstance(whose, Role)]
ELSEWHERE = {"security": {str(door): ["192.0.2.1"] for door in ClientGroup}}


def test_the_table_has_every_door(make_config: ConfigMaker) -> None:
    found = set()
    for route in create_app(make_config()).router.routes():
        resource = route.resource
        assert resource
        found.add((route.method, resource.canonical))
    # aiohttp answers HEAD by the handler of GET.
    found -= {("HEAD", path) for method, path in found if method == "GET"}
    assert found == ENDPOINTS.keys()


def right(whose: str, body: bytes) -> dict[str, str]:
    if whose == HOOKS:
        return {"Jambonz-Signature": sign(body, WEBHOOK_SECRET, at=int(time.time()))}
    if whose == TOKEN:
        return {"Authorization": token(body, KEY, SECRET)}
    return {"X-API-Key": DISPATCH_KEY}


def token(body: bytes, key: str, secret: str) -> str:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(key, secret).with_sha256(digest).to_jwt()


def wrong(whose: str, body: bytes) -> Iterator[dict[str, str]]:
    """What proves nothing at a door of this kind."""
    other = secrets.token_hex(32)
    yield {}
    yield {"Authorization": ""}
    yield {"Authorization": "Bearer é\udcff".encode("utf-8", "surrogateescape").decode("latin-1")}
    yield {"X-Forwarded-For": "127.0.0.1", "Authorization": f"Bearer {other}"}
    if whose == HOOKS:
        yield {"X-API-Key": DISPATCH_KEY}
        yield {"Authorization": encode(Credentials("jambonz", WEBHOOK_SECRET))}
        yield {"Jambonz-Signature": sign(body, other, at=int(time.time()))}
        yield {"Jambonz-Signature": sign(body + b" ", WEBHOOK_SECRET, at=int(time.time()))}
        yield {"Jambonz-Signature": sign(body, WEBHOOK_SECRET, at=int(time.time()) - 3600)}
    elif whose == TOKEN:
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
    """A gateway with a call that nobody here may touch, and what is asked of each door."""

    def __init__(self, gateway: Client, livekit: FakeLiveKit, call: dict[str, Any]) -> None:
        self._gateway = gateway
        self._livekit = livekit
        self._call = call
        self._asked = len(livekit.requests)
        self.body = json.dumps(
            {
                "call_sid": call["jambonz"]["call_sid"],
                "call_status": "completed",
                "destination": "61402012298",
                "event": "agent_failed",
            }
        ).encode()

    async def refused(
        self, door: tuple[str, str], headers: dict[str, str], status: int
    ) -> dict[str, Any]:
        """The door refuses with `status`, and nothing has come of it; the answer."""
        method, path = door
        path = path.replace("{call_id}", self._call["call_id"]).replace("{delivery_id}", "1")
        told = {"Content-Type": "application/json", **headers}
        data = None if method == "GET" else self.body
        async with self._gateway.request(method, path, data=data, headers=told) as answer:
            content: dict[str, Any] = await answer.json()
            assert answer.status == status, (door, headers, content)
        assert len(self._livekit.requests) == self._asked
        return content

    async def nothing_changed(self) -> None:
        assert await shown(self._gateway, self._call["call_id"]) == self._call
        assert (await listed(self._gateway, "?include=ended"))["active"] == 1


@pytest.fixture
async def visit(start_gateway: GatewayStarter, fake_livekit: FakeLiveKit) -> Visit:
    # The watch must not ask LiveKit of itself meanwhile.
    gateway = await start_gateway(monitor={"interval": 60})
    (dial,) = await jambonz_for(gateway).call_arrives()
    call = await shown(gateway, dial["headers"]["X-Call-Id"])
    return Visit(gateway, fake_livekit, call)


@pytest.mark.parametrize("door", GUARDED)
async def test_without_the_right_proof(visit: Visit, door: tuple[str, str]) -> None:
    for headers in wrong(ENDPOINTS[door], visit.body):
        await visit.refused(door, headers, 401)
    await visit.nothing_changed()


@pytest.mark.parametrize("door", [door for door in WITH_KEYS if ENDPOINTS[door] is DISPATCH])
async def test_with_a_key_that_may_only_read(visit: Visit, door: tuple[str, str]) -> None:
    for headers in ({"X-API-Key": READ_KEY}, {"Authorization": f"Bearer {READ_KEY}"}):
        refusal = await visit.refused(door, headers, 403)
        assert refusal["error"] == "forbidden"
    await visit.nothing_changed()


@pytest.mark.parametrize("door", GUARDED)
async def test_from_an_address_that_is_not_on_the_list(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, door: tuple[str, str]
) -> None:
    """With the right proof too; what a header says of another address does not count."""
    gateway = await start_gateway(monitor={"interval": 60}, **ELSEWHERE)
    whose, body = ENDPOINTS[door], b"{}"
    setting = {HOOKS: ClientGroup.JAMBONZ, TOKEN: ClientGroup.LIVEKIT}.get(whose, ClientGroup.API)
    path = door[1].replace("{call_id}", "call-1").replace("{delivery_id}", "1")
    for headers in (right(whose, body), {**right(whose, body), "X-Forwarded-For": "192.0.2.1"}):
        async with gateway.request(door[0], path, data=body, headers=headers) as answer:
            refusal = await answer.json()
            assert (answer.status, refusal["error"]) == (403, "address_not_allowed")
            assert "127.0.0.1" in refusal["message"]
            assert f"security.{setting}" in refusal["message"]
    assert not fake_livekit.requests


@pytest.mark.parametrize("door", [door for door, whose in ENDPOINTS.items() if whose == OPEN])
async def test_open_doors_are_open_to_every_address(
    start_gateway: GatewayStarter, door: tuple[str, str]
) -> None:
    gateway = await start_gateway(**ELSEWHERE)
    async with gateway.request(*door) as answer:
        assert answer.status == 200
