"""A caller whom the agent leaves with somebody else talks on, and is not left alone."""

from typing import Any

import pytest
from livekit.protocol.models import DisconnectReason, ParticipantInfo

from gateway.calls.call import EventKind
from gateway.calls.outcomes import SipOutcome, TransferKind
from gateway.calls.reasons import DisconnectionReason
from tests.monitor.harness import (
    AGENT,
    ROOM,
    SIP,
    Harness,
)
from tests.monitor.people import (
    AGENT_1,
    AGENT_2,
    CALLER,
    COLLEAGUE,
    DIALED,
    bring_in_colleague,
    talk,
)


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
