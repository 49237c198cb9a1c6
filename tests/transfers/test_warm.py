"""Warm transfers that are asked for: LiveKit dials the target into the caller's room."""

import pytest
from livekit.protocol.sip import CreateSIPParticipantRequest

from tests.conftest import Client, GatewayStarter
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.transfers.test_requested_by_agents import agent_asks
from tests.transfers.test_transfers import SETTINGS, TARGET, answered, request_transfer

CALLER = {"outbound": {"default_caller": "+15550199"}}
DESK = "sip:desk@pbx.example.com"
WARM = {"target": TARGET, "kind": "warm"}


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(**SETTINGS, **CALLER)


async def test_the_target_is_dialed_into_the_room(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    call = await answered(gateway)
    assert await agent_asks(gateway, call.call_id, WARM) == 204
    (dial,) = fake_livekit.requested(CreateSIPParticipantRequest)
    assert (dial.room_name, dial.sip_call_to, dial.sip_trunk_id, dial.sip_number) == (
        call.call_id,
        TARGET,
        "ST_1",
        "+15550199",
    )
    assert dial.wait_until_answered
    assert dial.play_dialtone
    assert dial.ringing_timeout.seconds == 30
    assert (await call.get_call())["call_status"] == "ongoing"


async def test_a_target_that_does_not_answer_is_told_with_its_sip_status(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees[TARGET] = Callee(sip=(486, "Busy Here"))
    call = await answered(gateway)
    for _ in range(2):  # the first one does not hold the call
        status, error = await request_transfer(gateway, call.call_id, WARM)
        assert (status, error["sip"]) == (502, {"status_code": 486, "status": "Busy Here"})
    assert (await call.get_call())["call_status"] == "ongoing"


@pytest.mark.parametrize(
    ("trunk", "target", "status"),
    [("ST_1", "+15550123", 403), ("", TARGET, 503), ("", DESK, 204)],
)
async def test_who_may_be_dialed_and_how(
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
    trunk: str,
    target: str,
    status: int,
) -> None:
    """A number needs a trunk, a SIP URI names its host."""
    call = await answered(await start_gateway({"SIP_OUTBOUND_TRUNK_ID": trunk}, **SETTINGS))
    assert await agent_asks(call.gateway, call.call_id, {**WARM, "target": target}) == status
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == (status == 204)
