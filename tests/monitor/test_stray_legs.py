"""Strangers who reach the room of a call by `setup`'s dispatch rule are put out."""

import pytest

from gateway.calls.participants import Leg
from gateway.inbound.web_calls import RULE_ID
from tests.monitor.harness import (
    OUTBOUND,
    ROOM,
    SIP,
    THEIR_RULE,
    UNAVAILABLE,
    Harness,
)
from tests.monitor.people import (
    BY_OUR_RULE,
    CALLER,
    talk,
)

STRANGER = "sip_+15550666"


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


async def test_nobody_comes_by_our_rule_to_a_caller_who_came_by_another(harness: Harness) -> None:
    """As to one who calls from the browser."""
    await harness.register_with_room()
    await harness.joins("browser", SIP, {"sip.ruleID": RULE_ID})
    await harness.joins(STRANGER, SIP, BY_OUR_RULE | {"sip.callID": "SCL_8"})
    assert harness.removed() == [STRANGER]
    assert (await harness.call()).caller == Leg("browser")


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
    assert STRANGER not in {it.identity for it in harness.fake.participants[ROOM]}
