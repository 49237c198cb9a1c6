"""No more outbound calls are active than may be, however many are asked for at once."""

import asyncio

import pytest
from livekit.protocol.sip import CreateSIPParticipantRequest, SIPOutboundTrunkInfo

from gateway.livekit.trunks import mark
from tests.api.test_dispatch import LEAST, dispatch
from tests.conftest import GatewayStarter, list_calls
from tests.fakes.livekit import FakeLiveKit


@pytest.mark.field("B2")
@pytest.mark.parametrize("trunk_id", ["ST_1", ""], ids=["configured trunk", "trunk by its mark"])
async def test_a_hundred_dispatches_at_once_are_as_many_calls_as_may_be(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, trunk_id: str
) -> None:
    fake_livekit.outbound_trunks.append(
        SIPOutboundTrunkInfo(sip_trunk_id="ST_ours", metadata=mark())
    )
    gateway = await start_gateway(
        {"SIP_OUTBOUND_TRUNK_ID": trunk_id},
        outbound={"max_active_calls": 10},
        limits={"dispatch_burst": 200},
        livekit={"timeout": 8},
    )
    answers = await asyncio.gather(*(dispatch(gateway, LEAST) for _ in range(100)))
    assert sorted(status for status, _ in answers) == [200] * 10 + [429] * 90
    refused = next(content for status, content in answers if status == 429)
    assert refused["error"] == "too_many_calls"
    assert "call_id" not in refused
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 10
    assert len((await list_calls(gateway, "?include=ended&limit=200"))["calls"]) == 10
