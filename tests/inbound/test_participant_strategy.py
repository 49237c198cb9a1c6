"""The `participant` strategy: the caller is enqueued, LiveKit dials, Jambonz bridges both legs."""

import asyncio
import json
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import (
    CreateRoomRequest,
    ListParticipantsRequest,
    RoomParticipantIdentity,
)
from livekit.protocol.sip import CreateSIPParticipantRequest, SIPOutboundTrunkInfo

from gateway.calls.callers import plain_name
from gateway.jambonz import leg_token
from gateway.livekit.trunks import mark
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import DISPATCH_KEY, Client, GatewayStarter, get_call, jambonz_for
from tests.fakes.livekit import AGENT_AUDIO, SECRET, Callee, FakeLiveKit, TwirpError
from tests.jambonz.schemas import assert_valid_verbs

AGENT = ParticipantInfo.Kind.AGENT
FALLBACK = [{"phone": "+15550123"}]
SETTINGS: dict[str, Any] = {
    "inbound": {"strategy": "participant", "fallback": FALLBACK},
    "transfer": {"allowed": ["+61*"]},
    "monitor": {"interval": 0.05},
}


@pytest.fixture
async def gateway(start_gateway: GatewayStarter, fake_livekit: FakeLiveKit) -> Client:
    fake_livekit.outbound_trunks += [
        SIPOutboundTrunkInfo(sip_trunk_id="ST_0", name="another"),
        SIPOutboundTrunkInfo(sip_trunk_id="ST_ours", metadata=mark()),
    ]
    return await start_gateway(**SETTINGS)


class EnqueuedCaller:
    """An inbound call whose caller waits in its queue."""

    def __init__(self, gateway: Client, jambonz: Jambonz, enqueue: dict[str, Any]) -> None:
        self.gateway = gateway
        self.jambonz = jambonz
        self.enqueue = enqueue
        self.call_id: str = enqueue["name"]

    async def wait_hook(self) -> list[dict[str, Any]]:
        return await self.jambonz.waits(self.enqueue["waitHook"])

    async def queue_action(self, call_status: str, result: str) -> list[dict[str, Any]]:
        return await self.jambonz.queue_ends(self.enqueue["actionHook"], call_status, result)

    async def call(self) -> dict[str, Any]:
        return await get_call(self.gateway, self.call_id)

    async def until(self, status: str) -> dict[str, Any]:
        """The call once its `call_status` is `status`."""
        async with asyncio.timeout(10):
            while (call := await self.call())["call_status"] != status:
                await asyncio.sleep(0.01)
        return call


async def enqueued(gateway: Client) -> EnqueuedCaller:
    jambonz = jambonz_for(gateway)
    (enqueue,) = await jambonz.call_arrives()
    await jambonz.status("in-progress")
    return EnqueuedCaller(gateway, jambonz, enqueue)


async def bridged(gateway: Client, fake_livekit: FakeLiveKit) -> EnqueuedCaller:
    caller = await enqueued(gateway)
    fake_livekit.add_participant(caller.call_id, AGENT, "agent-AJ_1")
    await caller.until("ongoing")
    return caller


def livekits_leg(gateway: Client, call_id: str) -> Jambonz:
    """The leg to the enqueued caller, with the header that the gateway had LiveKit send."""
    leg = jambonz_for(gateway, to_number=call_id)
    leg.headers = {leg_token.HEADER: leg_token.leg_token(call_id, SECRET)}
    return leg


async def test_livekit_dials_and_jambonz_bridges_both_legs(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await enqueued(gateway)
    assert_valid_verbs([caller.enqueue])
    verbs = await caller.wait_hook()
    assert_valid_verbs(verbs)
    assert verbs[0]["verb"] == "play"
    # Jambonz has answered the caller, but LiveKit dials only once the agent has joined.
    assert (await caller.call())["call_status"] == "registered"
    assert not fake_livekit.requested(CreateSIPParticipantRequest)
    fake_livekit.add_participant(caller.call_id, AGENT, "agent-AJ_1")
    await caller.until("ongoing")
    (room,) = fake_livekit.requested(CreateRoomRequest)
    # The leg is answered before it is bridged: the caller would not hear an early greeting.
    assert json.loads(room.agents[0].metadata)["gateway"]["audible_after"] > 1
    (leg,) = fake_livekit.requested(CreateSIPParticipantRequest)
    assert (leg.sip_call_to, leg.room_name) == (caller.call_id, caller.call_id)
    assert (leg.sip_trunk_id, leg.sip_number) == ("ST_ours", "+15550100")
    jambonzs_hook = jambonz_for(gateway, to_number=caller.call_id)
    jambonzs_hook.headers = {name.lower(): value for name, value in leg.headers.items()}
    verbs = await jambonzs_hook.call_arrives()
    assert_valid_verbs(verbs)
    assert [verb["verb"] for verb in verbs] == ["dequeue", "hangup"]
    assert verbs[0]["name"] == caller.call_id


async def test_a_repeated_call_hook_enqueues_the_same_call(gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    assert await jambonz.call_arrives() == await jambonz.call_arrives()


async def test_the_caller_hangs_up(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    caller = await bridged(gateway, fake_livekit)
    assert await caller.queue_action("completed", "hangup") == []
    assert (await caller.call())["disconnection_reason"] == "user_hangup"


async def test_the_agent_hangs_up(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    caller = await bridged(gateway, fake_livekit)
    verbs = await caller.queue_action("in-progress", "bridged")
    assert_valid_verbs(verbs)
    assert verbs == [{"verb": "hangup"}]
    call = await caller.call()
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "agent_hangup")


async def test_a_rejected_leg_sends_the_caller_to_the_fallback(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await enqueued(gateway)
    fake_livekit.callees[caller.call_id] = Callee(sip=(503, "Service Unavailable"))
    fake_livekit.add_participant(caller.call_id, AGENT, "agent-AJ_1")
    call = await caller.until("not_connected")
    assert call["sip"]["status"] == 503
    verbs = await caller.wait_hook()
    assert_valid_verbs(verbs)
    assert verbs == [{"verb": "leave"}]
    verbs = await caller.queue_action("in-progress", "leave")
    assert verbs[0]["target"] == [{"type": "phone", "number": "+15550123"}]
    # Enqueueing has answered the caller, so the last fallback can only be followed by hangup.
    last = await caller.jambonz.dial_ends(verbs[0]["actionHook"], "in-progress", "busy", 486)
    assert last == [{"verb": "hangup"}]


async def test_without_an_agent_the_caller_goes_to_the_fallback(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    inbound = {**SETTINGS["inbound"], "agent_timeout": 0.3}
    caller = await enqueued(await start_gateway(**{**SETTINGS, "inbound": inbound}))
    call = await caller.until("error")
    assert call["disconnection_reason"] == "no_agent"
    assert await caller.wait_hook() == [{"verb": "leave"}]
    assert (await caller.queue_action("in-progress", "leave"))[0]["verb"] == "dial"
    assert not fake_livekit.requested(CreateSIPParticipantRequest)


@pytest.mark.field("B1")
async def test_a_caller_is_bridged_once_the_agent_can_be_heard(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await enqueued(gateway)
    fake_livekit.add_participant(caller.call_id, AGENT, "agent-AJ_1", tracks=[])
    async with asyncio.timeout(10):
        while len(fake_livekit.requested(ListParticipantsRequest)) < 2:
            await asyncio.sleep(0.01)
    assert not fake_livekit.requested(CreateSIPParticipantRequest)
    fake_livekit.participants[caller.call_id][0].tracks.append(AGENT_AUDIO)
    await caller.until("ongoing")


async def test_without_a_trunk_the_caller_goes_to_the_fallback(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway({"SIP_OUTBOUND_TRUNK_ID": ""}, **SETTINGS)
    caller = await enqueued(gateway)
    fake_livekit.add_participant(caller.call_id, AGENT, "agent-AJ_1")
    call = await caller.until("error")
    assert "gateway setup" in json.dumps(call["timeline"])
    assert await caller.wait_hook() == [{"verb": "leave"}]


async def test_without_livekit_no_caller_is_enqueued(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.failures.append(TwirpError(403, "permission_denied", "no"))
    (dial,) = await jambonz_for(gateway).call_arrives()
    assert dial["target"] == [{"type": "phone", "number": "+15550123"}]


async def test_livekits_leg_is_declined_if_the_caller_has_hung_up(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await bridged(gateway, fake_livekit)
    await caller.queue_action("completed", "hangup")
    verbs = await livekits_leg(gateway, caller.call_id).call_arrives()
    assert_valid_verbs(verbs)
    assert (verbs[0]["verb"], verbs[0]["status"]) == ("sip:decline", 480)


async def test_livekits_leg_is_in_the_timeline_and_is_not_another_call(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await bridged(gateway, fake_livekit)
    leg = livekits_leg(gateway, caller.call_id)
    await leg.call_arrives()
    await leg.status("completed", call_termination_by="jambonz")
    call = await caller.call()
    assert call["call_status"] == "ongoing"
    assert call["timeline"][-1]["detail"] == "B leg completed"


async def test_special_characters_of_a_caller_do_not_reach_headers(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    hook = {"call_sid": "1", "from": 'x" <y>', "to": "+15550199", "caller_name": 'A "B" <c>'}
    (enqueue,) = await jambonz_for(gateway)._post("/livekit-api", hook)
    fake_livekit.add_participant(enqueue["name"], AGENT, "agent-AJ_1")
    async with asyncio.timeout(10):
        while not fake_livekit.requested(CreateSIPParticipantRequest):
            await asyncio.sleep(0.01)
    (leg,) = fake_livekit.requested(CreateSIPParticipantRequest)
    assert (leg.sip_number, leg.display_name) == ("", "A B c")


async def test_a_transfer_removes_livekits_leg_and_dials_the_target(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    caller = await bridged(gateway, fake_livekit)
    url = f"/livekit-api/calls/{caller.call_id}/transfer"
    headers = {"X-API-Key": DISPATCH_KEY}
    async with gateway.post(url, json={"target": "+61491570156"}, headers=headers) as response:
        assert response.status == 200, await response.text()
    (removed,) = fake_livekit.requested(RoomParticipantIdentity)
    assert removed.identity == "sip_+15550100"
    verbs = await caller.queue_action("in-progress", "bridged")
    assert_valid_verbs(verbs)
    assert verbs[0]["target"] == [{"type": "phone", "number": "+61491570156"}]
    await caller.jambonz.far_status("in-progress")
    call = await caller.call()
    assert call["disconnection_reason"] == "call_transfer"


async def test_a_caller_enqueued_for_an_unknown_call_leaves_for_the_fallback(
    gateway: Client,
) -> None:
    jambonz = jambonz_for(gateway)
    assert await jambonz.waits("/livekit-api/queue-wait?call_id=gone") == [{"verb": "leave"}]
    verbs = await jambonz.queue_ends(
        "/livekit-api/queue-action?call_id=gone", "in-progress", "leave"
    )
    assert verbs[0]["verb"] == "dial"


@pytest.mark.field("B8", "B9")
@pytest.mark.parametrize(
    ("number", "user"),
    [("+61 123 456 789", "+61123456789"), ("anonymous@evil.example.com;tag=zz", ""), ("", "")],
)
@pytest.mark.parametrize(
    "name", ["ü" * 65, "😀" * 33, "ACME\\Sales"], ids=["umlauts", "emoji", "backslash"]
)
async def test_no_caller_is_lost_for_a_name_or_number(
    gateway: Client, fake_livekit: FakeLiveKit, number: str, user: str, name: str
) -> None:
    account = {"env_vars": {"ACCOUNT_CODE": "ä" * 5000}}
    payload = {"call_sid": "1", "from": number, "caller_name": name, **account}
    (enqueue,) = await jambonz_for(gateway)._post("/livekit-api", payload)
    caller = EnqueuedCaller(gateway, jambonz_for(gateway), enqueue)
    fake_livekit.add_participant(caller.call_id, AGENT, "agent-AJ_1")
    await caller.until("ongoing")
    (leg,) = fake_livekit.requested(CreateSIPParticipantRequest)
    assert (leg.sip_number, leg.display_name) == (user, plain_name(name))
    assert 0 < len(leg.display_name.encode()) <= 128
    assert leg.participant_identity == f"sip_{user or 'anonymous'}"
    assert len(leg.headers["X-Account-Code"].encode()) <= 1024
