"""Transfers that an agent asks for, and what of them an API client may ask for, too."""

import json
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.sip import TransferSIPParticipantRequest

from tests.api.test_livekit import send
from tests.conftest import Client, GatewayStarter, get_call
from tests.fakes.livekit import FakeLiveKit
from tests.transfers.test_transfers import (
    SETTINGS,
    TARGET,
    answered,
    dispatched,
    request_transfer,
)

SIP = ParticipantInfo.Kind.SIP
CALLER = "sip_+15550100"
SUMMARY = "Anna Example wants to move her appointment."


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(**SETTINGS)


async def agent_asks(gateway: Client, call_id: str, transfer: Any) -> int:
    path = f"/livekit-api/calls/{call_id}/report/transfer"
    return await send(gateway, path, json.dumps(transfer).encode(), kind="application/json")


async def test_an_api_client_may_ask_for_it_too(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    call = await answered(gateway)
    fake_livekit.add_participant(call.call_id, SIP, CALLER, {"sip.ruleID": "SDR_1"})
    body = {"target": TARGET, "kind": "announced", "summary": SUMMARY}
    status, _ = await request_transfer(gateway, call.call_id, body)
    assert status == 200
    (dial, _) = await call.refer()
    assert "confirmHook" in dial
    assert (await call.get_call())["transfer"]["kind"] == "announced"


async def test_a_refer_to_somebody_else_is_a_cold_transfer(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    call = await answered(gateway)
    fake_livekit.add_participant(call.call_id, SIP, CALLER, {"sip.ruleID": "SDR_1"})
    body = {"target": TARGET, "kind": "announced"}
    await request_transfer(gateway, call.call_id, body)
    (dial, _) = await call.refer("<tel:+61491570157>")
    assert "confirmHook" not in dial
    assert (await call.get_call())["transfer"]["kind"] == "cold"


@pytest.mark.parametrize(
    ("transfer", "status"),
    [
        ([], 422),
        ({}, 422),
        ({"target": TARGET, "kind": "loud"}, 422),
        ({"target": TARGET, "kind": "announced", "summary": "x" * 1_001}, 422),
        ({"target": "+15550123", "kind": "announced"}, 403),
    ],
)
async def test_what_is_wrong_with_a_request_is_told_to_the_agent(
    gateway: Client, fake_livekit: FakeLiveKit, transfer: Any, status: int
) -> None:
    call = await answered(gateway)
    fake_livekit.add_participant(call.call_id, SIP, CALLER, {"sip.ruleID": "SDR_1"})
    assert await agent_asks(gateway, call.call_id, transfer) == status
    assert not fake_livekit.requested(TransferSIPParticipantRequest)


async def test_an_agent_may_ask_for_a_cold_transfer(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    call_id = await dispatched(gateway)
    assert await agent_asks(gateway, call_id, {"target": TARGET}) == 204
    call = await get_call(gateway, call_id)
    assert call["disconnection_reason"] == "call_transfer"
    assert f"to {TARGET}, requested by the agent" in [it["detail"] for it in call["timeline"]]


async def test_a_call_that_jambonz_does_not_dial_cannot_be_announced(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    call_id = await dispatched(gateway)
    body = {"target": TARGET, "kind": "announced"}
    status, error = await request_transfer(gateway, call_id, body)
    assert (status, error["error"]) == (422, "invalid")
    assert "kind" in error["details"]
    assert not fake_livekit.requested(TransferSIPParticipantRequest)
