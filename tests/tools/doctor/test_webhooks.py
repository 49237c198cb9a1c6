"""LiveKit's webhooks: they come, they do not, they go elsewhere."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.tools.doctor import webhooks
from gateway.tools.doctor.check import Status
from gateway.tools.doctor.webhooks import missing
from tests.conftest import Client
from tests.tools.doctor.conftest import Stack, look


async def test_they_come(stack: Stack) -> None:
    told = await look(stack.config(), "webhooks")
    assert told.status is Status.OK
    assert "LiveKit told the gateway of a new room" in told.saw


async def test_they_do_not_come_to_a_gateway_that_livekit_does_not_know(
    stack: Stack, gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ARRIVAL_LIMIT", 0.3)
    told = await look(stack.config(), "webhooks", url=str(gateway.make_url("")))
    assert told.status is Status.FAIL
    assert "did not tell the gateway of a new room" in told.saw
    assert "/livekit/webhook" in told.next


async def test_webhooks_of_other_rooms_prove_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ARRIVAL_LIMIT", 0.3)
    received = itertools.count(1)

    async def diagnostics(_: web.Request) -> web.Response:
        told = {"received": next(received), "last_received_at": 1, "rooms": ["call-other"]}
        return web.json_response({"livekit_webhooks": told})

    app = web.Application()
    app.router.add_get("/livekit-api/diagnostics", diagnostics)
    async with TestServer(app) as server:
        told = await look(stack.config(), "webhooks", url=str(server.make_url("")))
    assert told.status is Status.WARN
    assert "another gateway" in told.saw


async def test_a_gateway_that_does_not_say(stack: Stack, gateway: Client) -> None:
    env = {"GATEWAY_API_KEYS": "ops:read:unknown"}
    told = await look(stack.config(**env), "webhooks", env=env, url=str(gateway.make_url("")))
    assert told.status is Status.WARN
    assert "GATEWAY_API_KEYS" in told.next


NONE: Mapping[str, Any] = {"received": 0, "last_received_at": None, "rooms": []}
SOME = {"received": 3, "last_received_at": 1, "rooms": ["a"]}


def test_they_came_before() -> None:
    told = missing(SOME, SOME, own_url="https://gw.example.com", is_cloud=False)
    assert told.status is Status.FAIL
    assert "the last webhook came" in told.saw
    assert "https://gw.example.com/livekit/webhook" in told.next
    assert "livekit-server's configuration" in told.next


def test_others_come() -> None:
    told = missing(NONE, SOME, own_url="https://gw.example.com", is_cloud=False)
    assert told.status is Status.WARN
    assert "another gateway" in told.saw


def test_where_to_set_them_in_the_cloud() -> None:
    told = missing(NONE, NONE, own_url="https://gw.example.com", is_cloud=True)
    assert (
        "LiveKit Cloud, Settings, Webhooks: URL https://gw.example.com/livekit/webhook" in told.next
    )
    assert "signing key the one of LIVEKIT_API_KEY" in told.next
