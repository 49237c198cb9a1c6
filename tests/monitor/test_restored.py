"""Calls of a gateway that was killed are restored from the rooms' metadata."""

import asyncio
from dataclasses import replace

import pytest

from gateway.calls.call import CallStatus, EventKind
from gateway.jambonz.hooks import CallHook, StatusHook
from gateway.jambonz.leg_token import HEADER, leg_token
from gateway.livekit.metadata import room_metadata
from tests.monitor.harness import (
    CALLBACK,
    INBOUND,
    OUR_RULE,
    OUTBOUND,
    ROOM,
    SIP,
    START,
    URL,
    Harness,
)


async def test_after_a_restart_a_call_is_restored(harness: Harness) -> None:
    await harness.register_with_room()
    harness.add_agent()
    harness.add_leg()
    await harness.apply(EventKind.AGENT_JOINED, EventKind.ANSWERED)
    harness.restart(after=100)
    await harness.reconcile(after=0)
    call = await harness.call()
    assert call.call_status is CallStatus.ONGOING
    assert (call.from_number, call.to_number) == ("+15550100", "+15550199")
    assert (call.agent_name, call.agent_came) == ("agent", True)
    assert (call.start_timestamp, call.answer_timestamp) == (START, START)
    assert call.livekit["room_sid"] == f"RM_{ROOM}"
    assert EventKind.RESTORED in [entry.event for entry in call.timeline]
    # Its maximum duration still applies: 100 s of 1000 are over.
    await harness.pass_time(900.1)
    assert await harness.state() == ("ended", "max_duration_reached")


async def test_hooks_of_a_restored_call_are_applied_to_it(harness: Harness) -> None:
    await harness.register_with_room()
    harness.add_leg()
    harness.restart(after=10)
    await harness.reconcile(after=0)
    hook = CallHook("sid-1", "+15550100", "+15550199", "")
    (dial,) = await harness.services.inbound.on_call(hook)
    assert dial["headers"] == {"X-Call-Id": ROOM}, "a repeated hook gets the same call"
    await harness.services.inbound.on_status(
        StatusHook("sid-1", "completed", terminated_by="caller")
    )
    assert await harness.state() == ("ended", "user_hangup")


async def test_callbacks_of_an_outbound_call_are_sent_after_a_restart(harness: Harness) -> None:
    await harness.register_with_room(OUTBOUND)
    harness.add_leg(room=OUTBOUND.call_id)
    harness.add_agent(OUTBOUND.call_id)
    harness.restart(after=10)
    await harness.reconcile(after=0)
    harness.remove(SIP, OUTBOUND.call_id)
    await harness.reconcile()
    await harness.pass_time(2)
    assert await harness.callbacks.received(2) == [
        (CALLBACK, "call_started", None),
        (CALLBACK, "call_ended", "user_hangup"),
    ]


async def test_a_call_that_rang_when_the_gateway_was_killed_rings_on(harness: Harness) -> None:
    await harness.register_with_room(OUTBOUND)
    harness.add_agent(OUTBOUND.call_id)
    harness.add_leg("ringing", room=OUTBOUND.call_id)
    harness.restart(after=70)
    await harness.reconcile(after=0)
    await harness.pass_time(1)
    assert await harness.state(OUTBOUND.call_id) == ("ringing", None)
    harness.remove(SIP, OUTBOUND.call_id)
    await harness.pass_time(80)
    assert await harness.state(OUTBOUND.call_id) == ("not_connected", "registered_call_timeout")


async def test_an_enqueued_caller_is_still_enqueued_after_a_restart(harness: Harness) -> None:
    await harness.services.lifecycle.register(INBOUND)
    harness.add_room_of(INBOUND, enqueues=True)
    harness.restart(after=1)
    await harness.reconcile(after=0)
    token = leg_token(ROOM, harness.config.livekit.api_secret)
    hook = CallHook("sid-2", "+15550100", ROOM, "", headers={HEADER: token})
    verbs = await harness.services.inbound.on_call(hook)
    assert "dequeue" in [verb["verb"] for verb in verbs], "it is LiveKit's leg, not a new caller"


@pytest.mark.parametrize("answered", [True, False])
async def test_a_restored_call_with_an_empty_room_ends_as_gateway_lost(
    harness: Harness, answered: bool
) -> None:
    await harness.register_with_room(OUTBOUND)
    if answered:
        await harness.apply(EventKind.ANSWERED, room=OUTBOUND.call_id)
        await harness.callbacks.received(1)
        harness.callbacks.sent.clear()
    harness.restart(after=100)
    await harness.reconcile(after=0)
    await harness.pass_time(1)
    assert await harness.state(OUTBOUND.call_id) == ("error", "gateway_lost")
    assert OUTBOUND.call_id not in harness.fake.rooms
    assert await harness.callbacks.received(1) == [(CALLBACK, "call_ended", "gateway_lost")]


async def test_a_restored_inbound_call_without_an_agent_does_not_end_as_no_agent(
    harness: Harness,
) -> None:
    await harness.register_with_room()
    harness.restart(after=15)
    await harness.reconcile(after=0)
    await harness.pass_time(1)
    assert await harness.state() == ("error", "gateway_lost")


async def test_a_room_that_finishes_after_a_restart_ends_its_call(harness: Harness) -> None:
    metadata = room_metadata(OUTBOUND, own_url=URL)
    harness.restart(after=20)
    room = OUTBOUND.call_id
    await harness.webhook(EventKind.CALLER_LEFT, room, metadata=metadata)
    await harness.webhook(EventKind.ROOM_FINISHED, room, metadata=metadata)
    await harness.webhook(EventKind.ROOM_FINISHED, room, metadata=metadata)
    assert await harness.state(room) == ("error", "gateway_lost")
    assert await harness.callbacks.received(1) == [(CALLBACK, "call_ended", "gateway_lost")]
    timeline = [entry.event for entry in (await harness.call(room)).timeline]
    assert timeline == ["registered", "restored", "caller_left", "room_finished"]


async def test_a_call_that_began_after_the_start_and_expired_is_not_restored(
    harness: Harness,
) -> None:
    call = replace(OUTBOUND, start_timestamp=START)
    harness.add_room_of(call)
    metadata = room_metadata(call, own_url=URL)
    await harness.webhook(EventKind.ROOM_FINISHED, call.call_id, metadata=metadata)
    await harness.reconcile()
    assert not await harness.is_stored(call.call_id)
    assert harness.participant_requests(call.call_id) == 0


async def test_a_call_of_another_gateway_is_not_changed(harness: Harness) -> None:
    harness.add_room_of(INBOUND, own_url="https://other.example.com")
    harness.add_leg(rule=OUR_RULE)
    harness.restart(after=20)
    metadata = harness.fake.rooms[ROOM].metadata
    await harness.webhook(EventKind.CALLER_JOINED, metadata=metadata, rule=OUR_RULE)
    # LiveKit may leave out the room's metadata.
    await harness.webhook(EventKind.CALLER_JOINED, rule=OUR_RULE)
    await harness.reconcile()
    await harness.pass_time(10)
    assert ROOM in harness.fake.rooms
    assert not await harness.is_stored()
    assert harness.services.counters.stray_rooms == 0


async def test_a_caller_who_joins_a_lost_call_is_not_removed(harness: Harness) -> None:
    await harness.register_with_room()
    harness.restart(after=1)
    harness.add_leg(rule=OUR_RULE)
    await harness.webhook(EventKind.CALLER_JOINED, rule=OUR_RULE)
    await harness.reconcile()
    assert await harness.state() == ("ongoing", None)
    assert ROOM in harness.fake.rooms


async def test_a_lost_call_whose_hook_was_repeated_is_not_restored(harness: Harness) -> None:
    await harness.register_with_room()
    harness.restart(after=5)
    again = replace(INBOUND, call_id="call-2", start_timestamp=harness.now)
    await harness.register_with_room(again)
    await harness.reconcile(after=0)
    await harness.pass_time(0)
    assert not await harness.is_stored()
    assert set(harness.fake.rooms) == {"call-2"}


async def test_a_call_is_restored_once(harness: Harness) -> None:
    await harness.register_with_room()
    harness.restart(after=5)
    metadata = harness.fake.rooms[ROOM].metadata
    await asyncio.gather(
        harness.reconcile(after=0),
        harness.webhook(EventKind.AGENT_JOINED, metadata=metadata),
        harness.services.deadline_loop.reconcile(),
    )
    timeline = [entry.event for entry in (await harness.call()).timeline]
    assert timeline.count(EventKind.RESTORED) == 1
    assert EventKind.AGENT_JOINED in timeline
