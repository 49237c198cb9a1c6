"""What a gateway that was killed has lost is rebuilt from the rooms."""

import asyncio
from dataclasses import replace

import pytest

from gateway.calls.call import CallStatus, EventKind
from gateway.jambonz.hooks import CallHook, StatusHook
from gateway.livekit.metadata import room_metadata
from tests.monitor.stage import CALLBACK, INBOUND, OUR_RULE, OUTBOUND, ROOM, SIP, START, URL, Stage


async def test_after_a_restart_a_call_is_as_it_was(stage: Stage) -> None:
    await stage.begins()
    stage.agent()
    stage.leg()
    await stage.happens(EventKind.AGENT_JOINED, EventKind.ANSWERED)
    stage.restart(after=100)
    await stage.reconcile(after=0)
    call = await stage.call()
    assert call.call_status is CallStatus.ONGOING
    assert (call.from_number, call.to_number) == ("+15550100", "+15550199")
    assert (call.agent_name, call.agent_came) == ("agent", True)
    assert (call.start_timestamp, call.answer_timestamp) == (START, START)
    assert call.livekit["room_sid"] == f"RM_{ROOM}"
    assert EventKind.RESTORED in [entry.event for entry in call.timeline]
    # Its limits hold: it has lasted 100 s of its 1000.
    await stage.pass_time(900.1)
    assert await stage.state() == ("ended", "max_duration_reached")


async def test_jambonz_hooks_know_a_call_that_was_rebuilt(stage: Stage) -> None:
    await stage.begins()
    stage.leg()
    stage.restart(after=10)
    await stage.reconcile(after=0)
    hook = CallHook("sid-1", "+15550100", "+15550199", "")
    (dial,) = await stage.services.inbound.on_call(hook)
    assert dial["headers"] == {"X-Call-Id": ROOM}, "a repeated hook gets the same call"
    await stage.services.inbound.on_status(StatusHook("sid-1", "completed", terminated_by="caller"))
    assert await stage.state() == ("ended", "user_hangup")


async def test_an_outbound_call_tells_its_callback_url_after_a_restart(stage: Stage) -> None:
    await stage.begins(OUTBOUND)
    stage.leg(room=OUTBOUND.call_id)
    stage.agent(OUTBOUND.call_id)
    stage.restart(after=10)
    await stage.reconcile(after=0)
    stage.leaves(SIP, OUTBOUND.call_id)
    await stage.reconcile()
    assert await stage.sent.heard(2) == [
        (CALLBACK, "call_started", None),
        (CALLBACK, "call_ended", "user_hangup"),
    ]


async def test_a_call_that_rang_while_the_gateway_was_killed_rings_on(stage: Stage) -> None:
    await stage.begins(OUTBOUND)
    stage.agent(OUTBOUND.call_id)
    stage.leg("ringing", room=OUTBOUND.call_id)
    stage.restart(after=70)
    await stage.reconcile(after=0)
    await stage.pass_time(1)
    assert await stage.state(OUTBOUND.call_id) == ("ringing", None)
    stage.leaves(SIP, OUTBOUND.call_id)
    await stage.pass_time(80)
    assert await stage.state(OUTBOUND.call_id) == ("not_connected", "registered_call_timeout")


async def test_a_parked_caller_is_still_parked_after_a_restart(stage: Stage) -> None:
    await stage.services.lifecycle.register(INBOUND)
    stage.has_room(INBOUND, enqueues=True)
    stage.restart(after=1)
    await stage.reconcile(after=0)
    verbs = await stage.services.inbound.on_call(CallHook("sid-2", "+15550100", ROOM, ""))
    assert "dequeue" in [verb["verb"] for verb in verbs], "it is LiveKit that calls, nobody new"


@pytest.mark.parametrize("answered", [True, False])
async def test_a_call_found_without_anybody_ends_as_lost(stage: Stage, answered: bool) -> None:
    await stage.begins(OUTBOUND)
    if answered:
        await stage.happens(EventKind.ANSWERED, room=OUTBOUND.call_id)
        await stage.sent.heard(1)
        stage.sent.calls.clear()
    stage.restart(after=100)
    await stage.reconcile(after=0)
    await stage.pass_time(1)
    assert await stage.state(OUTBOUND.call_id) == ("error", "gateway_lost")
    assert OUTBOUND.call_id not in stage.fake.rooms
    assert await stage.sent.heard(1) == [(CALLBACK, "call_ended", "gateway_lost")]


async def test_a_lost_inbound_call_without_an_agent_is_not_said_to_have_had_none(
    stage: Stage,
) -> None:
    await stage.begins()
    stage.restart(after=15)
    await stage.reconcile(after=0)
    await stage.pass_time(1)
    assert await stage.state() == ("error", "gateway_lost")


async def test_a_room_that_finishes_after_a_restart_ends_its_call(stage: Stage) -> None:
    metadata = room_metadata(OUTBOUND, own_url=URL)
    stage.restart(after=20)
    room = OUTBOUND.call_id
    await stage.livekit_says(EventKind.CALLER_LEFT, room, metadata=metadata)
    await stage.livekit_says(EventKind.ROOM_FINISHED, room, metadata=metadata)
    await stage.livekit_says(EventKind.ROOM_FINISHED, room, metadata=metadata)
    assert await stage.state(room) == ("error", "gateway_lost")
    assert await stage.sent.heard(1) == [(CALLBACK, "call_ended", "gateway_lost")]
    happened = [entry.event for entry in (await stage.call(room)).timeline]
    assert happened == ["registered", "restored", "caller_left", "room_finished"]


async def test_a_call_that_began_since_the_start_was_kept_long_enough(stage: Stage) -> None:
    call = replace(OUTBOUND, start_timestamp=START)
    stage.has_room(call)
    metadata = room_metadata(call, own_url=URL)
    await stage.livekit_says(EventKind.ROOM_FINISHED, call.call_id, metadata=metadata)
    await stage.reconcile()
    assert not await stage.is_known(call.call_id)
    assert stage.looks(call.call_id) == 0


async def test_another_gateways_call_is_left_alone(stage: Stage) -> None:
    stage.has_room(INBOUND, own_url="https://other.example.com")
    stage.leg(rule=OUR_RULE)
    stage.restart(after=20)
    metadata = stage.fake.rooms[ROOM].metadata
    await stage.livekit_says(EventKind.CALLER_JOINED, metadata=metadata, rule=OUR_RULE)
    # LiveKit does not have to send a room's metadata along.
    await stage.livekit_says(EventKind.CALLER_JOINED, rule=OUR_RULE)
    await stage.reconcile()
    await stage.pass_time(10)
    assert ROOM in stage.fake.rooms
    assert not await stage.is_known()
    assert stage.services.counters.stray_rooms == 0


async def test_a_caller_who_joins_a_lost_call_is_no_stranger(stage: Stage) -> None:
    await stage.begins()
    stage.restart(after=1)
    stage.leg(rule=OUR_RULE)
    await stage.livekit_says(EventKind.CALLER_JOINED, rule=OUR_RULE)
    await stage.reconcile()
    assert await stage.state() == ("ongoing", None)
    assert ROOM in stage.fake.rooms


async def test_a_caller_whom_jambonz_sent_anew_is_not_taken_for_two(stage: Stage) -> None:
    await stage.begins()
    stage.restart(after=5)
    again = replace(INBOUND, call_id="call-2", start_timestamp=stage.now)
    await stage.begins(again)
    await stage.reconcile(after=0)
    await stage.pass_time(0)
    assert not await stage.is_known()
    assert set(stage.fake.rooms) == {"call-2"}


async def test_a_call_is_rebuilt_once(stage: Stage) -> None:
    await stage.begins()
    stage.restart(after=5)
    metadata = stage.fake.rooms[ROOM].metadata
    await asyncio.gather(
        stage.reconcile(after=0),
        stage.livekit_says(EventKind.AGENT_JOINED, metadata=metadata),
        stage.services.deadline_loop.reconcile(),
    )
    happened = [entry.event for entry in (await stage.call()).timeline]
    assert happened.count(EventKind.RESTORED) == 1
    assert EventKind.AGENT_JOINED in happened
