"""The `participant` strategy: the caller waits, LiveKit's leg comes or not, both meet."""

import asyncio
import json
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import CreateRoomRequest, RoomParticipantIdentity
from livekit.protocol.sip import CreateSIPParticipantRequest, SIPOutboundTrunkInfo

from gateway.livekit.trunks import mark
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import DISPATCH_KEY, Client, GatewayStarter, jambonz_for, shown
from tests.fakes.livekit import Callee, FakeLiveKit, Refusal
from tests.jambonz.schemas import assert_valid_verbs

AGENT = ParticipantInfo.Kind.AGENT
FALLBACK = [{"phone": "+15550123"}]
SETTINGS: dict[str, Any] = {
    "inbound": {"strategy": "participant", "fallback": FALLBACK, "agent_timeout": 0.3},
    "transfer": {"allowed": ["+61*"]},
    "monitor": {"interval": 0.05},
}


@pytest.fixture
async def gateway(start_gateway: GatewayStarter, fake_livekit: FakeLiveKit) -> Client:
    fake_livekit.outbound_trunks += [
        SIPOutboundTrunkInfo(sip_trunk_id="ST_0", name="somebody's"),
        SIPOutboundTrunkInfo(sip_trunk_id="ST_ours", metadata=mark()),
    ]
    return await start_gateway(**SETTINGS)


class Waiting:
    """A caller in the queue."""

    def __init__(self, gateway: Client, jambonz: Jambonz, enqueue: dict[str, Any]) -> None:
        self.gateway = gateway
        self.jambonz = jambonz
        self.enqueue = enqueue
        self.call_id: str = enqueue["name"]

    async def hears(self) -> list[dict[str, Any]]:
        return await self.jambonz.waits(self.enqueue["waitHook"])

    async def leaves(self, call_status: str, result: str) -> list[dict[str, Any]]:
        return await self.jambonz.queue_ends(self.enqueue["actionHook"], call_status, result)

    async def call(self) -> dict[str, Any]:
        return await shown(self.gateway, self.call_id)

    async def is_in(self, *statuses: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while (call := await self.call())["call_status"] not in statuses:
                await asyncio.sleep(0.01)
        return call


async def waiting(gateway: Client) -> Waiting:
    jambonz = jambonz_for(gateway)
    (enqueue,) = await jambonz.call_arrives()
    await jambonz.status("in-progress")
    return Waiting(gateway, jambonz, enqueue)


async def talking(gateway: Client, fake: FakeLiveKit) -> Waiting:
    caller = await waiting(gateway)
    fake.present(caller.call_id, AGENT, "agent-AJ_1")
    await caller.is_in("ongoing")
    return caller


async def test_both_legs_meet_in_the_queue(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    caller = await waiting(gateway)
    assert_valid_verbs([caller.enqueue])
    heard = await caller.hears()
    assert_valid_verbs(heard)
    assert heard[0]["verb"] == "play"
    # Answered by Jambonz, but nobody is there yet; and without the agent no leg is made.
    assert (await caller.call())["call_status"] == "registered"
    assert not fake_livekit.requested(CreateSIPParticipantRequest)
    fake_livekit.present(caller.call_id, AGENT, "agent-AJ_1")
    await caller.is_in("ongoing")
    (order,) = fake_livekit.requested(CreateRoomRequest)
    # The leg is answered before it is bridged: a greeting would go unheard.
    assert json.loads(order.agents[0].metadata)["gateway"]["audible_after"] > 1
    (leg,) = fake_livekit.requested(CreateSIPParticipantRequest)
    assert (leg.sip_call_to, leg.room_name) == (caller.call_id, caller.call_id)
    assert (leg.sip_trunk_id, leg.sip_number) == ("ST_ours", "+15550100")
    assert leg.headers == {"X-Call-Id": caller.call_id}
    verbs = await jambonz_for(gateway, to_number=caller.call_id).call_arrives()
    assert_valid_verbs(verbs)
    assert [verb["verb"] for verb in verbs] == ["dequeue", "hangup"]
    assert verbs[0]["name"] == caller.call_id


async def test_a_repeated_call_hook_parks_the_same_call(gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    assert await jambonz.call_arrives() == await jambonz.call_arrives()


async def test_the_caller_hangs_up(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    caller = await talking(gateway, fake_livekit)
    assert await caller.leaves("completed", "hangup") == []
    assert (await caller.call())["disconnection_reason"] == "user_hangup"


async def test_the_agent_hangs_up(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    caller = await talking(gateway, fake_livekit)
    verbs = await caller.leaves("in-progress", "bridged")
    assert_valid_verbs(verbs)
    assert verbs == [{"verb": "hangup"}]
    call = await caller.call()
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "agent_hangup")


async def test_a_leg_that_is_refused_ends_in_the_fallback(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await waiting(gateway)
    fake_livekit.callees[caller.call_id] = Callee(sip=(503, "Service Unavailable"))
    fake_livekit.present(caller.call_id, AGENT, "agent-AJ_1")
    call = await caller.is_in("not_connected")
    assert call["sip"]["status"] == 503
    verbs = await caller.hears()
    assert_valid_verbs(verbs)
    assert verbs == [{"verb": "leave"}]
    verbs = await caller.leaves("in-progress", "leave")
    assert verbs[0]["target"] == [{"type": "phone", "number": "+15550123"}]
    # The caller was answered to be parked: nothing but hanging up is left at the end.
    last = await caller.jambonz.dial_ends(verbs[0]["actionHook"], "in-progress", "busy", 486)
    assert last == [{"verb": "hangup"}]


async def test_no_agent_ends_in_the_fallback(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    caller = await waiting(gateway)
    call = await caller.is_in("error")
    assert call["disconnection_reason"] == "no_agent"
    assert await caller.hears() == [{"verb": "leave"}]
    assert (await caller.leaves("in-progress", "leave"))[0]["verb"] == "dial"
    assert not fake_livekit.requested(CreateSIPParticipantRequest)


async def test_no_trunk_ends_in_the_fallback(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway({"SIP_OUTBOUND_TRUNK_ID": ""}, **SETTINGS)
    caller = await waiting(gateway)
    fake_livekit.present(caller.call_id, AGENT, "agent-AJ_1")
    call = await caller.is_in("error")
    assert "gateway setup" in json.dumps(call["timeline"])
    assert await caller.hears() == [{"verb": "leave"}]


async def test_without_livekit_nobody_is_parked(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    fake_livekit.failures.append(Refusal(403, "permission_denied", "no"))
    (dial,) = await jambonz_for(gateway).call_arrives()
    assert dial["target"] == [{"type": "phone", "number": "+15550123"}]


async def test_livekit_calls_for_somebody_who_has_gone(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await talking(gateway, fake_livekit)
    await caller.leaves("completed", "hangup")
    verbs = await jambonz_for(gateway, to_number=caller.call_id).call_arrives()
    assert_valid_verbs(verbs)
    assert (verbs[0]["verb"], verbs[0]["status"]) == ("sip:decline", 480)


async def test_livekits_leg_is_noted_and_is_no_call_of_its_own(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await talking(gateway, fake_livekit)
    leg = jambonz_for(gateway, to_number=caller.call_id)
    await leg.call_arrives()
    await leg.status("completed", call_termination_by="jambonz")
    call = await caller.call()
    assert call["call_status"] == "ongoing"
    assert call["timeline"][-1]["detail"] == "B leg completed"


async def test_odd_callers_make_no_odd_headers(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    hook = {"call_sid": "1", "from": 'x" <y>', "to": "+15550199", "caller_name": 'A "B" <c>'}
    (enqueue,) = await jambonz_for(gateway)._post("/livekit-api", hook)
    fake_livekit.present(enqueue["name"], AGENT, "agent-AJ_1")
    async with asyncio.timeout(10):
        while not fake_livekit.requested(CreateSIPParticipantRequest):
            await asyncio.sleep(0.01)
    (leg,) = fake_livekit.requested(CreateSIPParticipantRequest)
    assert (leg.sip_number, leg.display_name) == ("", "A B c")


async def test_a_transfer_puts_livekits_leg_out_and_dials_instead(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await talking(gateway, fake_livekit)
    url = f"/livekit-api/calls/{caller.call_id}/transfer"
    headers = {"X-API-Key": DISPATCH_KEY}
    async with gateway.post(url, json={"target": "+61491570156"}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    (out,) = fake_livekit.requested(RoomParticipantIdentity)
    assert out.identity == "sip_+15550100"
    verbs = await caller.leaves("in-progress", "bridged")
    assert_valid_verbs(verbs)
    assert verbs[0]["target"] == [{"type": "phone", "number": "+61491570156"}]
    await caller.jambonz.far_status("in-progress")
    call = await caller.call()
    assert call["disconnection_reason"] == "call_transfer"


async def test_a_wait_hook_for_a_call_nobody_knows_lets_the_caller_out(gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    assert await jambonz.waits("/livekit-api/queue-wait?call_id=gone") == [{"verb": "leave"}]
    verbs = await jambonz.queue_ends(
        "/livekit-api/queue-action?call_id=gone", "in-progress", "leave"
    )
    assert verbs[0]["verb"] == "dial"
