"""A call knows its caller's leg: only that one ends it, and it may come back."""

from dataclasses import replace
from typing import Any

import pytest
from livekit.protocol.models import DisconnectReason
from livekit.protocol.sip import TransferSIPParticipantRequest

from gateway.calls.call import EventKind
from gateway.calls.participants import Leg, ParticipantKind
from gateway.livekit.sip import SipParticipants
from tests.monitor.harness import (
    AGENT,
    INBOUND,
    OUTBOUND,
    ROOM,
    SIP,
    START,
    Harness,
)
from tests.monitor.people import (
    AGENT_1,
    BY_OUR_RULE,
    CALLER,
    COLLEAGUE,
    bring_in_colleague,
    talk,
)

LOST = (
    DisconnectReason.CONNECTION_TIMEOUT,
    DisconnectReason.MEDIA_FAILURE,
    DisconnectReason.SIGNAL_CLOSE,
    DisconnectReason.MIGRATION,
    DisconnectReason.STATE_MISMATCH,
    DisconnectReason.DUPLICATE_IDENTITY,
)


@pytest.mark.field("A1", "A6")
async def test_a_colleague_who_hangs_up_leaves_the_caller_with_the_agent(harness: Harness) -> None:
    await talk(harness)
    await bring_in_colleague(harness)
    call = await harness.call()
    assert call.caller == Leg(CALLER, "SCL_1")
    assert call.livekit["sip_call_id"] == "SCL_1"
    assert [(it.identity, it.kind, it.left_at) for it in call.participants] == [
        (AGENT_1, ParticipantKind.AGENT, None),
        (COLLEAGUE, ParticipantKind.SIP, None),
    ]
    await harness.leaves(COLLEAGUE)
    await harness.reconcile()
    await harness.pass_time(10)
    assert await harness.state() == ("ongoing", None)
    colleague = (await harness.call()).participants[1]
    assert (colleague.joined_at, colleague.left_at) == (START + 20_000, START + 21_000)
    await harness.leaves(CALLER)
    assert await harness.state() == ("ended", "user_hangup")


@pytest.mark.field("A3")
async def test_a_refer_goes_to_the_callers_leg(harness: Harness) -> None:
    await harness.register_with_room(OUTBOUND)
    callee = replace(OUTBOUND, caller=Leg(CALLER))
    harness.add_leg(room=OUTBOUND.call_id, identity=COLLEAGUE)
    harness.add_leg(room=OUTBOUND.call_id, identity=CALLER)
    sip = SipParticipants(harness.livekit)
    await sip.transfer(callee, "tel:+15550123", ringing_timeout=5)
    (refer,) = harness.fake.requested(TransferSIPParticipantRequest)
    assert refer.participant_identity == CALLER
    await sip.remove(callee)
    assert harness.removed() == [CALLER]


@pytest.mark.field("A4")
@pytest.mark.parametrize("why", LOST)
async def test_a_caller_whom_livekit_still_lists_goes_on(harness: Harness, why: Any) -> None:
    await talk(harness)
    await harness.leaves(CALLER, why, is_listed=True)
    await harness.pass_time(2)
    await harness.reconcile()
    await harness.pass_time(10)
    assert await harness.state() == ("ongoing", None)
    assert ROOM in harness.fake.rooms


@pytest.mark.field("A4")
async def test_the_same_caller_back_by_another_leg_goes_on(harness: Harness) -> None:
    await talk(harness)
    again = BY_OUR_RULE | {"sip.callID": "SCL_9"}
    await harness.leaves(CALLER, DisconnectReason.DUPLICATE_IDENTITY)
    await harness.pass_time(1)
    await harness.joins(CALLER, SIP, again)
    await harness.pass_time(10)
    assert await harness.state() == ("ongoing", None)
    assert (await harness.call()).caller == Leg(CALLER, "SCL_9")
    assert harness.removed() == []


@pytest.mark.field("A8")
@pytest.mark.parametrize("why", LOST)
async def test_a_lost_connection_is_no_hang_up(harness: Harness, why: Any) -> None:
    await talk(harness)
    left_at = harness.now
    await harness.leaves(CALLER, why)
    await harness.pass_time(2)
    assert await harness.state() == ("error", "connection_lost")
    assert (await harness.call()).end_timestamp == left_at


@pytest.mark.field("A5")
async def test_a_lost_webhook_of_the_caller_with_another_leg_in_the_room(harness: Harness) -> None:
    await talk(harness)
    await bring_in_colleague(harness)
    await harness.leaves(CALLER, is_webhook_lost=True)
    await harness.reconcile()
    await harness.pass_time(2)
    assert await harness.state() == ("ended", "user_hangup")


@pytest.mark.field("C4")
@pytest.mark.parametrize("is_told", [True, False])
async def test_a_caller_who_gives_up_while_it_rings(harness: Harness, is_told: bool) -> None:
    """Jambonz's hook is lost; whoever says that the agent left is first."""
    await harness.register_with_room()
    await harness.joins(AGENT_1, AGENT)
    await harness.joins(CALLER, SIP, BY_OUR_RULE | {"sip.callStatus": "ringing"})
    harness.now += 5_000
    if is_told:
        await harness.leaves(AGENT_1)
        await harness.leaves(CALLER)
    else:
        await harness.leaves(CALLER)
        await harness.leaves(AGENT_1)
    await harness.pass_time(2)
    assert await harness.state() == ("not_connected", "user_hangup")
    assert (await harness.call()).end_timestamp == START + 5_000


@pytest.mark.field("C4")
async def test_a_short_call_whose_answer_only_the_agent_saw(harness: Harness) -> None:
    await harness.register_with_room()
    await harness.joins(AGENT_1, AGENT)
    await harness.joins(CALLER, SIP, BY_OUR_RULE)
    harness.now += 1_000
    await harness.apply(EventKind.ANSWERED)
    harness.now += 9_000
    await harness.leaves(CALLER)
    assert await harness.state() == ("ended", "user_hangup")
    assert (await harness.call()).duration_ms == 9_000


async def test_a_restored_call_finds_its_caller_again(harness: Harness) -> None:
    await talk(harness)
    await bring_in_colleague(harness)
    harness.restart(after=5)
    await harness.reconcile(after=0)
    await harness.reconcile()
    call = await harness.call()
    assert call.caller == Leg(CALLER, "SCL_1")
    assert COLLEAGUE in {it.identity for it in call.participants}
    await harness.leaves(COLLEAGUE)
    await harness.pass_time(5)
    assert await harness.state() == ("ongoing", None)


async def test_a_restored_call_knows_the_identity_that_it_gave_its_leg(harness: Harness) -> None:
    await harness.register_with_room(replace(OUTBOUND, caller=Leg("LiveKitNehosHosted")))
    harness.restart(after=5)
    await harness.reconcile(after=0)
    assert (await harness.call(OUTBOUND.call_id)).caller == Leg("LiveKitNehosHosted")


async def test_events_of_one_leg_in_the_wrong_order(harness: Harness) -> None:
    await harness.register_with_room(INBOUND)
    await harness.joins(CALLER, SIP, BY_OUR_RULE, is_webhook_lost=True)
    gone = harness.fake.participants[ROOM][0]
    await harness.leaves(CALLER)
    await harness._send("participant_joined", gone, ROOM)
    await harness.pass_time(2)
    assert await harness.state() == ("not_connected", "user_hangup")
