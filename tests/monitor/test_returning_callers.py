"""A caller whom an announced transfer brings back is awaited, and not for ever."""

from gateway.calls.call import Event, EventKind
from gateway.calls.outcomes import SipOutcome, Transfer, TransferKind
from gateway.calls.participants import Leg
from gateway.lifecycle.deadlines import ANNOUNCEMENT_MS
from tests.monitor.harness import ROOM, SIP, Harness
from tests.monitor.people import AGENT_1, BY_OUR_RULE, CALLER, talk

TARGET = "+61491570156"
AGAIN = {**BY_OUR_RULE, "sip.callID": "SCL_2"}


async def transfer(harness: Harness) -> None:
    """The caller has left the agent for a target."""
    await talk(harness)
    started = Transfer(TARGET, harness.now, kind=TransferKind.ANNOUNCED)
    event = Event(EventKind.TRANSFER_STARTED, harness.now, transfer=started)
    await harness.services.lifecycle.apply(ROOM, event)
    await harness.leaves(CALLER)


async def busy(harness: Harness) -> None:
    event = Event(EventKind.TRANSFER_ENDED, harness.now, sip=SipOutcome(486, "Busy Here"))
    await harness.services.lifecycle.apply(ROOM, event)


async def test_a_target_may_listen_to_the_end(harness: Harness) -> None:
    await transfer(harness)
    for _ in range(8):
        await harness.reconcile()
        await harness.pass_time(0)
    assert await harness.state() == ("ongoing", None)
    await busy(harness)
    await harness.joins(CALLER, SIP, AGAIN)
    await harness.reconcile()
    assert await harness.state() == ("ongoing", None)
    assert (await harness.call()).caller == Leg(CALLER, "SCL_2")
    await harness.leaves(CALLER)
    assert await harness.state() == ("ended", "user_hangup")


async def test_jambonz_has_time_to_dial_the_caller_back(harness: Harness) -> None:
    await transfer(harness)
    await harness.pass_time(30)
    await busy(harness)
    await harness.reconcile(after=5)
    await harness.pass_time(3)
    assert await harness.state() == ("ongoing", None)
    # Jambonz never did, and its hooks were lost.
    await harness.reconcile()
    await harness.pass_time(3)
    assert await harness.state() == ("ended", "user_hangup")


async def test_a_transfer_whose_outcome_is_never_told_ends(harness: Harness) -> None:
    await transfer(harness)
    await harness.pass_time(30 + ANNOUNCEMENT_MS / 1000)
    assert await harness.state() == ("ongoing", None)
    await harness.pass_time(11)
    assert await harness.state() == ("ended", "call_transfer")


async def test_an_agent_that_left_meanwhile_is_missed_once_the_caller_is_back(
    harness: Harness,
) -> None:
    await transfer(harness)
    await harness.leaves(AGENT_1)
    await harness.pass_time(20)
    assert await harness.state() == ("ongoing", None)
    await busy(harness)
    await harness.joins(CALLER, SIP, AGAIN)
    await harness.pass_time(11)  # so long an agent may take to come back, too
    assert await harness.state() == ("ended", "agent_hangup")
