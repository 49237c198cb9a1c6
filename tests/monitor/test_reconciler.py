"""Reconciling: answers, hangups and agents that left are read from the rooms."""

from dataclasses import replace

import pytest
from livekit.protocol.room import (
    ListParticipantsRequest,
    ListRoomsRequest,
)

from gateway.calls.call import Call, CallStatus, Event, EventKind
from gateway.calls.outcomes import Transfer
from gateway.errors import RecordUnreadable
from gateway.livekit import timeouts
from gateway.monitor import reconciler as module
from gateway.monitor.reconciler import MAX_ROOMS_CHECKED
from tests.fakes.livekit import TwirpError
from tests.monitor.harness import AGENT, INBOUND, OUTBOUND, ROOM, SIP, START, UNAVAILABLE, Harness


async def test_an_answer_whose_hook_was_lost_is_seen_in_the_room(harness: Harness) -> None:
    await harness.register_with_room()
    harness.add_agent()
    harness.add_leg()
    await harness.reconcile()
    call = await harness.call()
    assert call.call_status is CallStatus.ONGOING
    assert call.answer_timestamp == START, "when the leg joined"
    assert call.agent_came


@pytest.mark.parametrize("status", ["dialing", "ringing", ""])
async def test_a_leg_that_rings_in_the_room_is_not_an_answer(harness: Harness, status: str) -> None:
    await harness.register_with_room(OUTBOUND)
    harness.add_agent(OUTBOUND.call_id)
    harness.add_leg(status, room=OUTBOUND.call_id)
    for _ in range(5):
        await harness.reconcile()
        await harness.pass_time(1)
    assert await harness.state(OUTBOUND.call_id) == ("ringing", None), (
        "its ringing time is not over"
    )
    await harness.pass_time(71)
    call_status, reason = await harness.state(OUTBOUND.call_id)
    assert (call_status, reason) == ("not_connected", "registered_call_timeout")


async def test_a_dialed_leg_is_not_answered_when_it_joins(harness: Harness) -> None:
    await harness.register_with_room(OUTBOUND)
    harness.add_leg(room=OUTBOUND.call_id)
    await harness.reconcile(after=15)
    assert (await harness.call(OUTBOUND.call_id)).answer_timestamp == START + 15_000


async def test_an_enqueued_caller_waits_for_livekits_leg(harness: Harness) -> None:
    await harness.register_with_room()
    await harness.apply(EventKind.ENQUEUED)
    harness.add_agent()
    await harness.reconcile()
    assert await harness.state() == ("registered", None)
    harness.add_leg("ringing", rule="")
    await harness.reconcile()
    assert await harness.state() == ("ringing", None)


async def test_a_hangup_whose_hook_was_lost_ends_the_call(harness: Harness) -> None:
    await harness.register_with_room()
    harness.add_agent()
    harness.add_leg()
    await harness.apply(EventKind.ANSWERED)
    await harness.reconcile()
    assert await harness.state() == ("ongoing", None)
    harness.remove(SIP)
    await harness.reconcile()
    assert await harness.state() == ("ongoing", None), "LiveKit is asked once more"
    await harness.pass_time(2)
    assert await harness.state() == ("ended", "user_hangup")


async def test_a_leg_may_be_missing_for_a_moment_after_the_answer(harness: Harness) -> None:
    await harness.register_with_room()
    harness.now += 60_000
    await harness.apply(EventKind.ANSWERED)
    await harness.reconcile(after=10)
    assert await harness.state() == ("ongoing", None)
    await harness.reconcile(after=0.1)
    await harness.pass_time(2)
    assert await harness.state() == ("ended", "user_hangup")


async def test_an_agent_that_left_without_a_webhook_ends_the_call(harness: Harness) -> None:
    await harness.register_with_room()
    harness.add_leg()
    harness.add_agent()
    await harness.apply(EventKind.ANSWERED)
    await harness.reconcile()
    harness.remove(AGENT)
    await harness.reconcile()
    await harness.pass_time(1)
    assert await harness.state() == ("ongoing", None), "its webhook may still arrive"
    await harness.pass_time(1)
    assert await harness.state() == ("error", "agent_error")
    assert ROOM not in harness.fake.rooms


async def test_a_call_without_any_hooks_ends_too(harness: Harness) -> None:
    await harness.register_with_room()
    harness.add_agent()
    harness.add_leg("ringing")
    await harness.reconcile()
    harness.remove(SIP)
    harness.add_leg()
    await harness.reconcile()
    harness.remove(SIP)
    await harness.reconcile()
    await harness.pass_time(2)
    timeline = [entry.event for entry in (await harness.call()).timeline]
    assert timeline == ["agent_joined", "caller_joined", "answered", "caller_left", "hung_up"]
    assert await harness.state() == ("ended", "user_hangup")


async def test_a_call_with_an_active_leg_does_not_expire(harness: Harness) -> None:
    await harness.register_with_room()
    await harness.apply(EventKind.AGENT_JOINED)
    harness.add_leg()
    await harness.pass_time(60.1)
    assert await harness.state() == ("ongoing", None)


async def test_a_caller_who_is_transferred_may_leave_the_room(harness: Harness) -> None:
    await harness.register_with_room()
    await harness.apply(EventKind.ANSWERED)
    started = Transfer("+61491570156", harness.now + 20_000)
    event = Event(EventKind.TRANSFER_STARTED, harness.now, transfer=started)
    await harness.services.lifecycle.apply(ROOM, event)
    await harness.reconcile()
    del harness.fake.rooms[ROOM]
    await harness.reconcile()
    call = await harness.call()
    assert call.is_active
    assert [entry.event for entry in call.timeline] == ["answered", "transfer_started"]


async def test_while_livekit_is_unavailable_no_call_ends_and_afterwards_they_do(
    harness: Harness,
) -> None:
    await harness.register_with_room()
    await harness.apply(EventKind.ANSWERED)
    harness.fake.failures.extend([UNAVAILABLE] * 200)
    for _ in range(3):
        await harness.reconcile()
        await harness.pass_time(1)
    assert await harness.state() == ("ongoing", None)
    harness.fake.failures.clear()
    await harness.reconcile()
    await harness.pass_time(2)
    assert await harness.state() == ("ended", "user_hangup")


async def test_livekit_may_become_unavailable_between_two_requests(harness: Harness) -> None:
    await harness.register_with_room()
    await harness.apply(EventKind.ANSWERED)
    harness.fake.failures.extend([None, *[UNAVAILABLE] * 200])
    await harness.reconcile()
    assert await harness.state() == ("ongoing", None)
    harness.fake.failures.clear()
    await harness.reconcile()
    await harness.pass_time(2)
    assert await harness.state() == ("ended", "user_hangup")


async def test_an_error_about_one_room_does_not_keep_others_from_being_checked(
    harness: Harness,
) -> None:
    calls = [replace(INBOUND, call_id=f"call-{n}", jambonz={}) for n in range(20)]
    for call in calls:
        await harness.register_with_room(call)
        await harness.apply(EventKind.ANSWERED, room=call.call_id)
    harness.fake.failures.extend([None, *[TwirpError(400, "malformed", "no")] * 10])
    await harness.reconcile()
    await harness.pass_time(2)
    states = [(await harness.state(call.call_id))[0] for call in calls]
    assert sorted(states) == ["ended"] * 10 + ["ongoing"] * 10


async def start_many_calls(harness: Harness) -> list[Call]:
    """More ongoing calls with agents than are checked at a time."""
    calls = [replace(INBOUND, call_id=f"call-{n:04}", jambonz={}) for n in range(450)]
    for call in calls:
        await harness.register_with_room(call)
        await harness.apply(EventKind.AGENT_JOINED, EventKind.ANSWERED, room=call.call_id)
        harness.add_leg(room=call.call_id)
        harness.add_agent(call.call_id)
    return calls


async def test_many_calls_are_checked_in_turn(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the client would repeat requests, and ask about a room twice.
    monkeypatch.setattr(timeouts, "REUSED_SHARE", 1.0)
    calls = await start_many_calls(harness)
    checked: list[set[str]] = []
    for _ in range(3):
        harness.fake.requests.clear()
        await harness.reconcile()
        rooms = [request.room for request in harness.fake.requested(ListParticipantsRequest)]
        assert len(rooms) == len(set(rooms)) <= MAX_ROOMS_CHECKED
        checked.append(set(rooms))
    assert set().union(*checked) == {call.call_id for call in calls}


async def test_among_many_calls_one_without_a_caller_is_checked_first(harness: Harness) -> None:
    calls = await start_many_calls(harness)
    last = calls[-1].call_id
    harness.remove(SIP, last)
    await harness.reconcile()
    await harness.pass_time(2)
    assert await harness.state(last) == ("ended", "user_hangup")


async def test_a_room_left_over_from_an_ended_call_is_deleted(harness: Harness) -> None:
    await harness.register_with_room()
    await harness.apply(EventKind.AGENT_FAILED)
    # As if another gateway had ended it, and was killed before it deleted the room.
    harness.services.room_cleanup._due.clear()
    await harness.reconcile(after=10)
    await harness.pass_time(0)
    assert ROOM in harness.fake.rooms, "the gateway that ended the call may still delete it"
    await harness.reconcile(after=0.1)
    await harness.pass_time(0)
    assert ROOM not in harness.fake.rooms


async def test_of_very_many_calls_some_are_reconciled_at_a_time(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rooms at once would delay requests."""
    monkeypatch.setattr(module, "MAX_ROOMS_LISTED", 10)
    for number in range(25):
        await harness.services.lifecycle.register(
            replace(INBOUND, call_id=f"call-many-{number:02}", jambonz={})
        )
    await harness.services.deadline_loop.reconcile()  # the first one lists all rooms
    harness.now += 20_000
    active = await harness.services.storage.registry.count_active()
    for _ in range(3):  # each call's room is missing twice before the call ends
        await harness.services.deadline_loop.reconcile()
    harness.now += 20_000
    for _ in range(3):
        before = active
        await harness.services.deadline_loop.reconcile()
        active = await harness.services.storage.registry.count_active()
        assert before - 10 <= active <= before
    assert active <= 1, "none of them has a room"
    listed = [len(request.names) for request in harness.fake.requested(ListRoomsRequest)]
    assert listed == [0, 10, 10, 5, 10, 10, 0], "all are listed again once few calls are left"


async def test_all_rooms_are_listed_from_time_to_time(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROOMS_LISTED", 0)
    await harness.services.lifecycle.register(replace(INBOUND, call_id="call-2", jambonz={}))
    await harness.services.deadline_loop.reconcile()
    harness.now += module.FULL_LISTING_INTERVAL_MS
    await harness.services.deadline_loop.reconcile()
    listed = [list(request.names) for request in harness.fake.requested(ListRoomsRequest)]
    assert listed == [[], []]


async def test_rooms_are_requested_a_hundred_at_a_time(harness: Harness) -> None:
    """A LiveKit without Redis creates no room while it looks for many."""
    for number in range(250):
        harness.add_room(f"room-{number}")
    names = [f"room-{number}" for number in range(0, 250, 2)]
    rooms = await harness.livekit.rooms(*names, "deleted")
    assert [room.name for room in rooms] == names
    requested = [len(request.names) for request in harness.fake.requested(ListRoomsRequest)]
    assert requested == [100, 26]


async def test_a_call_whose_record_is_unreadable_does_not_hold_up_the_others(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Event(EventKind.HUNG_UP, harness.now)
    registry = harness.services.storage.registry
    for name in ("unreadable", "call"):
        for case in ("no-room", "active", "ended"):
            await harness.register_with_room(replace(INBOUND, call_id=f"{name}-{case}", jambonz={}))
        del harness.fake.rooms[f"{name}-no-room"]
        harness.add_leg(room=f"{name}-active")
        await registry.apply(f"{name}-ended", ended)
    get = registry.get

    async def get_readable(call_id: str) -> Call | None:
        if call_id.startswith("unreadable"):
            raise RecordUnreadable(call_id)
        return await get(call_id)

    monkeypatch.setattr(registry, "get", get_readable)
    await harness.reconcile()
    await harness.reconcile()
    await harness.services.room_cleanup.delete_due()
    assert await harness.state("call-no-room") == ("not_connected", "registered_call_timeout")
    assert await harness.state("call-active") == ("ongoing", None)
    assert set(harness.fake.rooms) == {"call-active", "unreadable-active", "unreadable-ended"}
