"""Enqueued callers: whom they are bridged with, and who of them gets the fallback."""

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import CreateRoomRequest

from gateway.api.services import SERVICES
from gateway.calls.call import Event, EventKind
from gateway.calls.reasons import DisconnectionReason
from gateway.jambonz import leg_token
from tests.conftest import DISPATCH_KEY, Client, GatewayStarter, jambonz_for
from tests.fakes.livekit import SECRET, FakeLiveKit
from tests.inbound.test_participant_strategy import SETTINGS, bridged, enqueued, livekits_leg
from tests.jambonz.schemas import assert_valid_verbs

AGENT = ParticipantInfo.Kind.AGENT


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(**SETTINGS)


@pytest.mark.field("C13")
@pytest.mark.parametrize("token", [None, "", "x" * 64, "é", "of another call"])
async def test_a_stranger_who_calls_the_id_of_an_enqueued_caller_is_declined(
    gateway: Client, fake_livekit: FakeLiveKit, token: str | None
) -> None:
    caller = await enqueued(gateway)
    stranger = jambonz_for(gateway, from_number="+15550188", to_number=caller.call_id)
    if token == "of another call":
        token = leg_token.leg_token("call-another", SECRET)
    if token is not None:
        stranger.headers = {leg_token.HEADER: token}
    (verb,) = await stranger.call_arrives()
    assert_valid_verbs([verb])
    assert (verb["verb"], verb["status"]) == ("sip:decline", 403)
    await stranger.status("failed", 403)
    assert (await caller.call())["call_status"] == "registered"
    assert len(fake_livekit.requested(CreateRoomRequest)) == 1
    # The caller is still connected with the agent.
    fake_livekit.add_participant(caller.call_id, AGENT, "agent-AJ_1")
    await caller.until("ongoing")
    assert (await livekits_leg(gateway, caller.call_id).call_arrives())[0]["verb"] == "dequeue"


@pytest.mark.field("C13")
async def test_livekits_leg_is_known_while_the_livekit_key_is_rotated(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    previous = "previous-secret-of-at-least-32-bytes"
    gateway = await start_gateway({"LIVEKIT_PREVIOUS_KEYS": f"key:{previous}"}, **SETTINGS)
    caller = await enqueued(gateway)
    leg = jambonz_for(gateway, to_number=caller.call_id)
    leg.headers = {leg_token.HEADER: leg_token.leg_token(caller.call_id, previous)}
    assert (await leg.call_arrives())[0]["verb"] == "dequeue"


@pytest.mark.field("J2")
@pytest.mark.parametrize("kind", [EventKind.AGENT_FAILED, EventKind.AGENT_LEFT])
async def test_a_caller_whose_agent_fails_in_the_call_gets_the_fallback(
    gateway: Client, fake_livekit: FakeLiveKit, kind: EventKind
) -> None:
    caller = await bridged(gateway, fake_livekit)
    assert gateway.app
    services = gateway.app[SERVICES]
    event = Event(kind, services.clock(), reason=DisconnectionReason.AGENT_ERROR)
    await services.lifecycle.apply(caller.call_id, event)
    verbs = await caller.queue_action("in-progress", "bridged")
    assert_valid_verbs(verbs)
    assert verbs[0]["target"] == [{"type": "phone", "number": "+15550123"}]
    call = await caller.call()
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "agent_error")


@pytest.mark.field("C6")
async def test_an_enqueued_caller_on_whom_a_client_hangs_up_gets_no_fallback(
    gateway: Client,
) -> None:
    caller = await enqueued(gateway)
    url = f"/livekit-api/calls/{caller.call_id}/hangup"
    async with gateway.post(url, headers={"X-API-Key": DISPATCH_KEY}) as response:
        assert response.status == 200, await response.text()
    assert await caller.wait_hook() == [{"verb": "leave"}]
    # Enqueueing has answered the caller, who thus cannot be declined.
    assert await caller.queue_action("in-progress", "leave") == [{"verb": "hangup"}]
