"""The legacy route `/livekit-simple`: dials the static trunk, and announces its removal."""

import json
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.jambonz.signature import sign
from tests.conftest import READ_KEY, WEBHOOK_SECRET, Client, GatewayStarter
from tests.jambonz.schemas import assert_valid_verbs


async def legacy_call(gateway: Client, to: str = "+15550199", **more: Any) -> Any:
    """Post the legacy call hook; returns the verbs and the response's headers."""
    body = json.dumps({"call_sid": "1", "from": "+15550100", "to": to, **more}).encode()
    signature = sign(body, WEBHOOK_SECRET, at=int(time.time()))
    headers = {"Content-Type": "application/json", "Jambonz-Signature": signature}
    async with gateway.post("/livekit-simple", data=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json(), response.headers


async def test_the_legacy_route_dials_the_static_trunk(gateway: Client) -> None:
    verbs, _ = await legacy_call(gateway)
    assert_valid_verbs(verbs)
    uri = "sip:+15550199@sip.example.com;transport=tcp"
    assert verbs[0]["target"] == [{"type": "sip", "sipUri": uri}]
    assert verbs[0]["answerOnBridge"] is True


async def test_the_legacy_route_announces_its_removal(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(legacy={"sip_host": "old.example.com", "sunset": "2027-01-31"})
    verbs, headers = await legacy_call(gateway)
    assert verbs[0]["target"][0]["sipUri"].endswith("@old.example.com;transport=tcp")
    assert headers["Deprecation"] == "@1795219200"
    assert parsedate_to_datetime(headers["Sunset"]).date().isoformat() == "2027-01-31"
    assert headers["Link"] == '</livekit-api>; rel="successor-version"'


async def test_legacy_calls_are_counted_and_the_log_says_how_to_move(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway({"GATEWAY_PUBLIC_URL": "https://gw.example.com"})
    with capture_logs() as lines:
        await legacy_call(gateway)
        await legacy_call(gateway, application_sid="app-1")
    last = [line for line in lines if line["event"] == "legacy.call"][-1]
    assert (last["calls"], last["application_sid"]) == (2, "app-1")
    assert "https://gw.example.com/livekit-api#rc=5" in last["how_to_move"]
    headers = {"X-API-Key": READ_KEY}
    async with gateway.get("/livekit-api/diagnostics", headers=headers) as response:
        assert (await response.json())["legacy_calls"]["count"] == 2


@pytest.mark.parametrize("number", ["", "a@evil.example", "x;y=z", "x" * 200])
async def test_an_invalid_number_is_declined(gateway: Client, number: str) -> None:
    verbs, _ = await legacy_call(gateway, number)
    assert_valid_verbs(verbs)
    assert (verbs[0]["verb"], verbs[0]["status"]) == ("sip:decline", 484)
