"""The check of LiveKit's webhooks: they arrive, are missing, or go to another gateway."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.explanation.status import Status
from gateway.tools.doctor import webhooks
from gateway.tools.doctor.webhooks import missing
from tests.conftest import Client
from tests.tools.doctor.conftest import Stack, run_check


async def test_webhooks_arrive(stack: Stack) -> None:
    finding = await run_check(stack.config(), "webhooks")
    assert finding.status is Status.OK
    assert "LiveKit notified the gateway of a new room" in finding.message


async def test_webhooks_do_not_arrive(
    stack: Stack, gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ARRIVAL_TIMEOUT", 0.3)
    finding = await run_check(stack.config(), "webhooks", url=str(gateway.make_url("")))
    assert finding.status is Status.FAIL
    assert "did not notify the gateway of a new room" in finding.message
    assert "/livekit/webhook" in finding.next


async def test_webhooks_of_other_rooms_do_not_count(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ARRIVAL_TIMEOUT", 0.3)
    received = itertools.count(1)

    async def diagnostics(_: web.Request) -> web.Response:
        received_webhooks = {
            "received": next(received),
            "last_received_at": 1,
            "rooms": ["call-other"],
        }
        return web.json_response({"livekit_webhooks": received_webhooks})

    app = web.Application()
    app.router.add_get("/livekit-api/diagnostics", diagnostics)
    async with TestServer(app) as server:
        finding = await run_check(stack.config(), "webhooks", url=str(server.make_url("")))
    assert finding.status is Status.WARN
    assert "another gateway" in finding.message


async def test_a_gateway_that_refuses_its_diagnostics(stack: Stack, gateway: Client) -> None:
    env = {"GATEWAY_API_KEYS": "ops:read:unknown"}
    finding = await run_check(
        stack.config(**env), "webhooks", env=env, url=str(gateway.make_url(""))
    )
    assert finding.status is Status.WARN
    assert "GATEWAY_API_KEYS" in finding.next


NONE: Mapping[str, Any] = {"received": 0, "last_received_at": None, "rooms": []}
SOME = {"received": 3, "last_received_at": 1, "rooms": ["a"]}


def test_webhooks_arrived_earlier() -> None:
    finding = missing(SOME, SOME, own_url="https://gw.example.com", is_cloud=False)
    assert finding.status is Status.FAIL
    assert "the last webhook came" in finding.message
    assert "https://gw.example.com/livekit/webhook" in finding.next
    assert "livekit-server's configuration" in finding.next


def test_webhooks_of_other_rooms_arrive() -> None:
    finding = missing(NONE, SOME, own_url="https://gw.example.com", is_cloud=False)
    assert finding.status is Status.WARN
    assert "another gateway" in finding.message


def test_where_to_set_webhooks_in_livekit_cloud() -> None:
    finding = missing(NONE, NONE, own_url="https://gw.example.com", is_cloud=True)
    assert (
        "LiveKit Cloud, Settings, Webhooks: URL https://gw.example.com/livekit/webhook"
        in finding.next
    )
    assert "signing key the one of LIVEKIT_API_KEY" in finding.next
