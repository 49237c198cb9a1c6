"""The old route: still dials the static trunk, and says that it is to go."""

import json
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.jambonz.signature import sign
from tests.conftest import READ_KEY, WEBHOOK_SECRET, Client, GatewayStarter
from tests.jambonz.schemas import assert_valid_verbs


async def simple(gateway: Client, to: str = "+4991874350352", **more: Any) -> Any:
    """The old middleware's hook; its verbs and the answer's headers."""
    body = json.dumps({"call_sid": "1", "from": "+15550100", "to": to, **more}).encode()
    signature = sign(body, WEBHOOK_SECRET, at=int(time.time()))
    headers = {"Content-Type": "application/json", "Jambonz-Signature": signature}
    async with gateway.post("/livekit-simple", data=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json(), answer.headers


async def test_it_dials_the_static_trunk(gateway: Client) -> None:
    verbs, _ = await simple(gateway)
    assert_valid_verbs(verbs)
    uri = "sip:+4991874350352@sip.example.com;transport=tcp"
    assert verbs[0]["target"] == [{"type": "sip", "sipUri": uri}]
    assert verbs[0]["answerOnBridge"] is True


async def test_it_announces_its_end(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(legacy={"sip_host": "old.example.com", "sunset": "2027-01-31"})
    verbs, headers = await simple(gateway)
    assert verbs[0]["target"][0]["sipUri"].endswith("@old.example.com;transport=tcp")
    assert headers["Deprecation"] == "@1795219200"
    assert parsedate_to_datetime(headers["Sunset"]).date().isoformat() == "2027-01-31"
    assert headers["Link"] == '</livekit-api>; rel="successor-version"'


async def test_it_is_counted_and_the_log_says_how_to_move(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway({"GATEWAY_PUBLIC_URL": "https://gw.example.com"})
    with capture_logs() as lines:
        await simple(gateway)
        await simple(gateway, application_sid="app-1")
    last = [line for line in lines if line["event"] == "legacy.call"][-1]
    assert (last["calls"], last["application_sid"]) == (2, "app-1")
    assert "https://gw.example.com/livekit-api#rc=3" in last["how_to_move"]
    headers = {"X-API-Key": READ_KEY}
    async with gateway.get("/livekit-api/diagnostics", headers=headers) as answer:
        assert (await answer.json())["legacy_calls"]["count"] == 2


@pytest.mark.parametrize("number", ["", "a@evil.example", "x;y=z", "x" * 200])
async def test_a_number_that_is_none_is_declined(gateway: Client, number: str) -> None:
    verbs, _ = await simple(gateway, number)
    assert_valid_verbs(verbs)
    assert (verbs[0]["verb"], verbs[0]["status"]) == ("sip:decline", 484)
