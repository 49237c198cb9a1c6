"""What LiveKit does not list is not always gone: its Redis lost its data, or it was restarted."""

from dataclasses import replace

import pytest
from livekit.protocol.room import DeleteRoomRequest

from gateway.calls.call import Event, EventKind
from gateway.calls.reasons import DisconnectionReason
from tests.monitor.harness import AGENT, INBOUND, ROOM, SIP, START, UNAVAILABLE, Harness

SECOND = "call-2"
CALLER = "sip_caller"
BY_RULE = {"sip.ruleID": "SDR_ours", "sip.callStatus": "active"}


async def talk(harness: Harness, room: str = ROOM, *, reports: bool = True) -> None:
    """A caller and an agent talk; the agent `reports` to the gateway."""
    call = replace(INBOUND, call_id=room, jambonz={"call_sid": room}, start_timestamp=harness.now)
    await harness.register_with_room(call)
    await harness.joins(f"agent-{room}", AGENT, room=room)
    await harness.joins(CALLER, SIP, BY_RULE, room=room)
    await harness.apply(EventKind.ANSWERED, room=room)
    if reports:
        await harness.apply(EventKind.AGENT_READY, room=room)
    await harness.pass_time(20)


async def listed(harness: Harness, *, times: int, every: float = 15) -> None:
    for _ in range(times):
        await harness.reconcile(after=every)
        await harness.pass_time(1)


@pytest.mark.field("D3")
async def test_a_room_that_is_listed_again_was_not_gone(harness: Harness) -> None:
    await talk(harness, reports=False)
    await talk(harness, SECOND, reports=False)
    room = harness.fake.rooms.pop(ROOM)
    await listed(harness, times=1)
    harness.fake.rooms[ROOM] = room
    await listed(harness, times=1)
    del harness.fake.rooms[ROOM]
    await listed(harness, times=1)
    assert await harness.state() == ("ongoing", None), "it has been missing only once again"
    await listed(harness, times=1)
    assert await harness.state() == ("ended", "agent_hangup")


@pytest.mark.field("D3")
@pytest.mark.parametrize("reports", [True, False])
async def test_people_talk_on_when_livekit_lost_all_its_rooms(
    harness: Harness, reports: bool
) -> None:
    await talk(harness, reports=reports)
    await talk(harness, SECOND, reports=reports)
    harness.fake.rooms.clear()
    await listed(harness, times=5)
    harness.add_room("call-new")
    await listed(harness, times=5)
    assert await harness.state() == ("ongoing", None)
    assert await harness.state(SECOND) == ("ongoing", None)
    assert not harness.fake.requested(DeleteRoomRequest)
    gone = Event(EventKind.AGENT_GONE, harness.now, ids={"job_id": ROOM})
    await harness.services.lifecycle.apply(ROOM, gone)
    await harness.pass_time(2)
    assert not (await harness.call()).is_active, "by the agent's word"
    hung_up = Event(EventKind.HUNG_UP, harness.now)
    await harness.services.lifecycle.apply(SECOND, hung_up)
    assert await harness.state(SECOND) == ("ended", "user_hangup")


@pytest.mark.field("D3")
async def test_a_single_call_goes_on_by_its_agents_word(harness: Harness) -> None:
    await talk(harness)
    harness.fake.rooms.clear()
    await listed(harness, times=10)
    assert await harness.state() == ("ongoing", None)
    await listed(harness, times=12)
    assert await harness.state() == ("ended", "agent_hangup"), (
        "not for ever: the worker may be gone"
    )


@pytest.mark.field("D3")
async def test_an_end_that_nobody_told_is_corrected(harness: Harness) -> None:
    await talk(harness, reports=False)
    harness.fake.rooms.clear()
    await listed(harness, times=2)
    assert await harness.state() == ("ended", "agent_hangup")
    assert not harness.fake.requested(DeleteRoomRequest), "people may still talk in it"
    harness.add_room_of(INBOUND)
    await listed(harness, times=3)
    assert ROOM in harness.fake.rooms
    at = harness.now
    reason = DisconnectionReason.USER_HANGUP
    hung_up = Event(EventKind.HUNG_UP, at, reason=reason)
    for event in (hung_up, replace(hung_up, at=at + 5_000)):
        await harness.services.lifecycle.apply(ROOM, event)
    assert await harness.state() == ("ended", "user_hangup")
    assert (await harness.call()).duration_ms == at - START


@pytest.mark.field("D4")
async def test_a_livekit_that_was_restarted_ends_no_call(harness: Harness) -> None:
    await talk(harness)
    rooms, people = dict(harness.fake.rooms), list(harness.fake.participants[ROOM])
    harness.fake.failures.extend([UNAVAILABLE] * 1_000)
    gone = Event(EventKind.AGENT_GONE, harness.now, ids={"job_id": ROOM})
    await harness.services.lifecycle.apply(ROOM, gone)
    for _ in range(5):
        await harness.pass_time(1)
        await harness.reconcile(after=0)
    harness.fake.failures.clear()
    harness.fake.rooms.clear()
    harness.fake.participants[ROOM] = []
    await harness.reconcile(after=0)
    await harness.pass_time(0.1)
    assert await harness.state() == ("ongoing", None), "the room may take a moment"
    harness.fake.rooms |= rooms
    harness.fake.participants[ROOM] = [person for person in people if person.kind == SIP]
    await harness.pass_time(0.1)
    assert await harness.state() == ("ongoing", None), "and the new agent, too"
    await harness.joins("agent-AJ_new", AGENT)
    await listed(harness, times=3)
    assert await harness.state() == ("ongoing", None)


@pytest.mark.field("D4")
async def test_an_agent_that_a_restart_of_livekit_took_away_is_missed(harness: Harness) -> None:
    await talk(harness)
    harness.fake.failures.extend([UNAVAILABLE] * 1_000)
    gone = Event(EventKind.AGENT_GONE, harness.now, ids={"job_id": ROOM})
    await harness.services.lifecycle.apply(ROOM, gone)
    await harness.pass_time(3)
    harness.fake.failures.clear()
    await harness.pass_time(9)
    assert await harness.state() == ("ongoing", None)
    await harness.pass_time(2)
    assert await harness.state() == ("error", "agent_error")


@pytest.mark.field("D4")
async def test_a_restart_of_livekit_that_no_request_met(harness: Harness) -> None:
    await talk(harness)
    harness.now += 60_000
    await harness.leaves(f"agent-{ROOM}", is_webhook_lost=True)
    gone = Event(EventKind.AGENT_GONE, harness.now, ids={"job_id": ROOM})
    await harness.services.lifecycle.apply(ROOM, gone)
    harness.now += 2_000
    await harness.leaves(CALLER, is_webhook_lost=True)
    await harness.joins(CALLER, SIP, BY_RULE)
    await harness.pass_time(0.1)
    assert await harness.state() == ("ongoing", None), "the caller has just come back"
    await harness.pass_time(10)
    assert await harness.state() == ("error", "agent_error")
