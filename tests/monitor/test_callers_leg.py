"""A call knows its caller's leg: what others in its room do ends nothing, and who talks goes on."""

from dataclasses import replace
from typing import Any

import pytest
from livekit.protocol.models import DisconnectReason, ParticipantInfo
from livekit.protocol.sip import TransferSIPParticipantRequest

from gateway.calls.call import DisconnectionReason, EventKind, SipOutcome, TransferKind
from gateway.calls.participants import Leg, ParticipantKind
from gateway.livekit.sip import SipParticipants
from tests.monitor.harness import (
    AGENT,
    INBOUND,
    OUR_RULE,
    OUTBOUND,
    ROOM,
    SIP,
    START,
    THEIR_RULE,
    UNAVAILABLE,
    Harness,
)

CALLER = "sip_+15550100"
COLLEAGUE = "sip_+61491570156"
STRANGER = "sip_+15550666"
AGENT_1, AGENT_2 = "agent-AJ_1", "agent-AJ_2"
BY_OUR_RULE = {"sip.callID": "SCL_1", "sip.ruleID": OUR_RULE, "sip.callStatus": "active"}
DIALED = {
    "sip.callID": "SCL_2",
    "sip.phoneNumber": "+61491570156",
    "sip.callStatus": "dialing",
}
LOST = (
    DisconnectReason.CONNECTION_TIMEOUT,
    DisconnectReason.MEDIA_FAILURE,
    DisconnectReason.SIGNAL_CLOSE,
    DisconnectReason.MIGRATION,
    DisconnectReason.STATE_MISMATCH,
    DisconnectReason.DUPLICATE_IDENTITY,
)


async def talk(harness: Harness) -> None:
    """The caller and the agent talk."""
    await harness.register_with_room()
    await harness.joins(AGENT_1, AGENT)
    await harness.joins(CALLER, SIP, BY_OUR_RULE)
    await harness.reconcile(after=0)
    assert await harness.state() == ("ongoing", None)
    await harness.pass_time(20)


async def bring_in_colleague(harness: Harness, status: str = "active") -> None:
    """The agent dials a colleague into the room, who answers."""
    await harness.joins(COLLEAGUE, SIP, DIALED)
    harness.fake.participants[ROOM][-1].attributes["sip.callStatus"] = status
    await harness.pass_time(1)


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


@pytest.mark.field("A1")
async def test_a_colleague_who_declines_is_a_failed_warm_transfer(harness: Harness) -> None:
    await talk(harness)
    await bring_in_colleague(harness, "ringing")
    transfer = (await harness.call()).transfer
    assert transfer
    assert (transfer.kind, transfer.target, transfer.is_open) == (
        TransferKind.WARM,
        "+61491570156",
        True,
    )
    await harness.leaves(COLLEAGUE, DisconnectReason.USER_REJECTED)
    await harness.pass_time(10)
    call = await harness.call()
    assert call.transfer
    assert (call.transfer.is_open, call.transfer.sip) == (False, None)
    assert call.transfer.reason is DisconnectionReason.USER_DECLINED
    assert await harness.state() == ("ongoing", None)
    assert "transfer_ended" in await harness.events()


@pytest.mark.field("A2")
@pytest.mark.parametrize("first", [CALLER, COLLEAGUE])
async def test_the_agent_leaves_the_two_who_then_talk(harness: Harness, first: str) -> None:
    await talk(harness)
    await bring_in_colleague(harness)
    transfer = (await harness.call()).transfer
    assert transfer
    assert transfer.sip == SipOutcome(200, "OK")
    await harness.leaves(AGENT_1)
    await harness.pass_time(2)
    for _ in range(5):
        await harness.reconcile()
        await harness.pass_time(10)
    assert await harness.state() == ("ongoing", None)
    assert "agent_handed_over" in await harness.events()
    await harness.leaves(first)
    await harness.pass_time(2)
    reason = "user_hangup" if first == CALLER else "call_transfer"
    assert await harness.state() == ("ended", reason)
    await harness.pass_time(5)
    assert ROOM not in harness.fake.rooms


@pytest.mark.field("A2", "A5")
async def test_a_caller_alone_is_noticed_though_all_webhooks_were_lost(harness: Harness) -> None:
    await talk(harness)
    await harness.joins("ann", ParticipantInfo.Kind.STANDARD, is_webhook_lost=True)
    await harness.leaves(AGENT_1, is_webhook_lost=True)
    await harness.reconcile()
    await harness.pass_time(2)
    await harness.reconcile()
    assert await harness.state() == ("ongoing", None)
    await harness.leaves("ann", is_webhook_lost=True)
    await harness.reconcile()
    await harness.pass_time(2)
    assert await harness.state() == ("ended", "agent_hangup")


@pytest.mark.field("A2")
async def test_an_agent_that_is_replaced_does_not_end_the_call(harness: Harness) -> None:
    await talk(harness)
    await harness.joins(AGENT_2, AGENT)
    await harness.leaves(AGENT_1)
    await harness.pass_time(2)
    await harness.reconcile()
    assert await harness.state() == ("ongoing", None)
    await harness.leaves(AGENT_2)
    await harness.pass_time(2)
    assert await harness.state() == ("ended", "agent_hangup")


@pytest.mark.field("A2")
@pytest.mark.parametrize("kind", ParticipantInfo.Kind.values())
async def test_only_people_keep_a_caller_company(harness: Harness, kind: Any) -> None:
    await talk(harness)
    attributes = DIALED | {"sip.callStatus": "active"} if kind == SIP else None
    await harness.joins("else", kind, attributes)
    await harness.leaves(AGENT_1)
    await harness.pass_time(2)
    people = {SIP, ParticipantInfo.Kind.STANDARD, ParticipantInfo.Kind.CONNECTOR}
    goes_on = kind in people or kind == AGENT
    assert (await harness.call()).is_active is goes_on


@pytest.mark.field("A2")
async def test_an_agent_that_fails_does_not_cut_off_two_who_talk(harness: Harness) -> None:
    await talk(harness)
    await bring_in_colleague(harness)
    await harness.apply(EventKind.AGENT_FAILED)
    await harness.leaves(AGENT_1, DisconnectReason.CONNECTION_TIMEOUT)
    await harness.pass_time(2)
    assert await harness.state() == ("ongoing", None)


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


@pytest.mark.field("A7")
@pytest.mark.parametrize("is_webhook_lost", [False, True])
async def test_a_stranger_who_came_by_our_rule_is_removed(
    harness: Harness, is_webhook_lost: bool
) -> None:
    await talk(harness)
    await harness.joins(STRANGER, SIP, BY_OUR_RULE | {"sip.callID": "SCL_8"})
    if is_webhook_lost:
        await harness.reconcile()
    assert harness.removed() == [STRANGER]
    assert harness.services.counters.stray_legs == 1
    assert "stray_leg_removed" in await harness.events()
    await harness.pass_time(10)
    assert await harness.state() == ("ongoing", None)
    assert (await harness.call()).livekit["sip_call_id"] == "SCL_1"


@pytest.mark.field("A7")
async def test_a_stranger_whose_webhook_is_first_is_not_taken_for_the_caller(
    harness: Harness,
) -> None:
    await harness.register_with_room()
    await harness.joins(CALLER, SIP, BY_OUR_RULE, is_webhook_lost=True)
    harness.now += 10
    await harness.joins(STRANGER, SIP, BY_OUR_RULE | {"sip.callID": "SCL_8"})
    await harness.reconcile()
    assert harness.removed() == [STRANGER]
    assert (await harness.call()).caller == Leg(CALLER, "SCL_1")


@pytest.mark.field("A7")
async def test_a_leg_that_comes_after_the_first_is_gone_is_the_callers(harness: Harness) -> None:
    await talk(harness)
    await harness.leaves(CALLER, is_webhook_lost=True)
    await harness.joins(STRANGER, SIP, BY_OUR_RULE | {"sip.callID": "SCL_8"})
    await harness.pass_time(10)
    assert harness.removed() == []
    assert await harness.state() == ("ongoing", None)
    assert (await harness.call()).caller == Leg(STRANGER, "SCL_8")


@pytest.mark.field("A7")
async def test_nobody_comes_by_our_rule_to_a_call_that_is_dialed(harness: Harness) -> None:
    await harness.register_with_room(OUTBOUND)
    await harness.joins(STRANGER, SIP, BY_OUR_RULE, room=OUTBOUND.call_id)
    assert harness.removed() == [STRANGER]
    assert (await harness.call(OUTBOUND.call_id)).caller is None


@pytest.mark.field("A7")
async def test_a_leg_of_another_applications_rule_stays(harness: Harness) -> None:
    await talk(harness)
    await harness.joins("sip_supervisor", SIP, BY_OUR_RULE | {"sip.ruleID": THEIR_RULE})
    await harness.reconcile()
    assert harness.removed() == []
    assert (await harness.call()).transfer is None, "nobody dialed them"


@pytest.mark.field("A7")
async def test_a_stranger_whom_livekit_does_not_remove_now_is_removed_later(
    harness: Harness,
) -> None:
    await talk(harness)
    harness.fake.failures.extend([None, None, *[UNAVAILABLE] * 50])
    await harness.joins(STRANGER, SIP, BY_OUR_RULE | {"sip.callID": "SCL_8"})
    harness.fake.failures.clear()
    assert harness.services.counters.stray_legs == 0
    await harness.reconcile()
    assert harness.services.counters.stray_legs == 1
    assert STRANGER not in {it.identity for it in harness.fake.participants[ROOM]}


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
