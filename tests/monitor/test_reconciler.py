"""What nobody told is seen in the rooms: answers, hang-ups, agents who left without a word."""

from dataclasses import replace

import pytest
from livekit.protocol.room import (
    ListParticipantsRequest,
    ListRoomsRequest,
)

from gateway.calls.call import Call, CallStatus, Event, EventKind, Transfer
from gateway.monitor import reconciler as rooms
from gateway.monitor.reconciler import LOOKED_INTO
from tests.fakes.livekit import Refusal
from tests.monitor.stage import AGENT, AWAY, INBOUND, OUTBOUND, ROOM, SIP, START, Stage


async def test_an_answer_that_nobody_told_is_seen_in_the_room(stage: Stage) -> None:
    await stage.begins()
    stage.agent()
    stage.leg()
    await stage.reconcile()
    call = await stage.call()
    assert call.call_status is CallStatus.ONGOING
    assert call.answer_timestamp == START, "when the leg joined"
    assert call.agent_came


@pytest.mark.parametrize("status", ["dialing", "ringing", ""])
async def test_a_leg_that_rings_in_the_room_has_not_answered(stage: Stage, status: str) -> None:
    await stage.begins(OUTBOUND)
    stage.agent(OUTBOUND.call_id)
    stage.leg(status, room=OUTBOUND.call_id)
    for _ in range(5):
        await stage.reconcile()
        await stage.pass_time(1)
    assert await stage.state(OUTBOUND.call_id) == ("ringing", None), "it has its time to ring"
    await stage.pass_time(71)
    call_status, reason = await stage.state(OUTBOUND.call_id)
    assert (call_status, reason) == ("not_connected", "registered_call_timeout")


async def test_the_answer_of_a_callee_is_not_the_moment_the_ringing_began(stage: Stage) -> None:
    await stage.begins(OUTBOUND)
    stage.leg(room=OUTBOUND.call_id)
    await stage.reconcile(after=15)
    assert (await stage.call(OUTBOUND.call_id)).answer_timestamp == START + 15_000


async def test_a_parked_caller_waits_for_livekits_leg(stage: Stage) -> None:
    await stage.begins()
    await stage.happens(EventKind.ENQUEUED)
    stage.agent()
    await stage.reconcile()
    assert await stage.state() == ("registered", None)
    stage.leg("ringing")
    await stage.reconcile()
    assert await stage.state() == ("ringing", None)


async def test_a_hang_up_that_nobody_told_ends_the_call(stage: Stage) -> None:
    await stage.begins()
    stage.agent()
    stage.leg()
    await stage.happens(EventKind.ANSWERED)
    await stage.reconcile()
    assert await stage.state() == ("ongoing", None)
    stage.leaves(SIP)
    await stage.reconcile()
    assert await stage.state() == ("ended", "user_hangup")


async def test_a_leg_may_take_a_moment_to_be_seen(stage: Stage) -> None:
    await stage.begins()
    stage.now += 60_000
    await stage.happens(EventKind.ANSWERED)
    await stage.reconcile(after=10)
    assert await stage.state() == ("ongoing", None)
    await stage.reconcile(after=0.1)
    assert await stage.state() == ("ended", "user_hangup")


async def test_an_agent_who_left_without_a_word_ends_the_call(stage: Stage) -> None:
    await stage.begins()
    stage.leg()
    stage.agent()
    await stage.happens(EventKind.ANSWERED)
    await stage.reconcile()
    stage.leaves(AGENT)
    await stage.reconcile()
    await stage.pass_time(1)
    assert await stage.state() == ("ongoing", None), "the word of it may still come"
    await stage.pass_time(1)
    assert await stage.state() == ("error", "agent_error")
    assert ROOM not in stage.fake.rooms


async def test_a_call_that_nothing_is_told_of_ends_all_the_same(stage: Stage) -> None:
    await stage.begins()
    stage.agent()
    stage.leg("ringing")
    await stage.reconcile()
    stage.leaves(SIP)
    stage.leg()
    await stage.reconcile()
    stage.leaves(SIP)
    await stage.reconcile()
    happened = [entry.event for entry in (await stage.call()).timeline]
    assert happened == ["agent_joined", "caller_joined", "answered", "caller_left"]
    assert await stage.state() == ("ended", "user_hangup")


async def test_a_call_with_an_active_leg_does_not_expire(stage: Stage) -> None:
    await stage.begins()
    await stage.happens(EventKind.AGENT_JOINED)
    stage.leg()
    await stage.pass_time(60.1)
    assert await stage.state() == ("ongoing", None)


async def test_who_is_being_handed_on_may_leave_the_room(stage: Stage) -> None:
    await stage.begins()
    await stage.happens(EventKind.ANSWERED)
    started = Transfer("+61491570156", stage.now + 20_000)
    event = Event(EventKind.TRANSFER_STARTED, stage.now, transfer=started)
    await stage.services.lifecycle.apply(ROOM, event)
    await stage.reconcile()
    del stage.fake.rooms[ROOM]
    await stage.reconcile()
    call = await stage.call()
    assert call.is_active
    assert [entry.event for entry in call.timeline] == ["answered", "transfer_started"]


async def test_while_livekit_is_away_nobody_is_ended_and_then_all_is_caught_up(
    stage: Stage,
) -> None:
    await stage.begins()
    await stage.happens(EventKind.ANSWERED)
    stage.fake.failures.extend([AWAY] * 200)
    for _ in range(3):
        await stage.reconcile()
        await stage.pass_time(1)
    assert await stage.state() == ("ongoing", None)
    stage.fake.failures.clear()
    await stage.reconcile(after=0)
    assert await stage.state() == ("ended", "user_hangup")


async def test_livekit_may_go_away_between_two_questions(stage: Stage) -> None:
    await stage.begins()
    await stage.happens(EventKind.ANSWERED)
    stage.fake.failures.extend([None, *[AWAY] * 200])
    await stage.reconcile()
    assert await stage.state() == ("ongoing", None)
    stage.fake.failures.clear()
    await stage.reconcile(after=0)
    assert await stage.state() == ("ended", "user_hangup")


async def test_a_room_that_livekit_tells_nothing_of_keeps_nobody_from_the_others(
    stage: Stage,
) -> None:
    calls = [replace(INBOUND, call_id=f"call-{n}", jambonz={}) for n in range(20)]
    for call in calls:
        await stage.begins(call)
        await stage.happens(EventKind.ANSWERED, room=call.call_id)
    stage.fake.failures.extend([None, *[Refusal(400, "malformed", "no")] * 10])
    await stage.reconcile()
    states = [(await stage.state(call.call_id))[0] for call in calls]
    assert sorted(states) == ["ended"] * 10 + ["ongoing"] * 10


async def many_talk(stage: Stage) -> list[Call]:
    """More calls with their agents than are looked into at a time."""
    calls = [replace(INBOUND, call_id=f"call-{n:04}", jambonz={}) for n in range(450)]
    for call in calls:
        await stage.begins(call)
        await stage.happens(EventKind.AGENT_JOINED, EventKind.ANSWERED, room=call.call_id)
        stage.leg(room=call.call_id)
        stage.agent(call.call_id)
    return calls


async def test_many_calls_are_looked_into_in_turn(stage: Stage) -> None:
    calls = await many_talk(stage)
    seen: list[set[str]] = []
    for _ in range(3):
        stage.fake.requests.clear()
        await stage.reconcile()
        asked = [request.room for request in stage.fake.requested(ListParticipantsRequest)]
        assert len(asked) == len(set(asked)) <= LOOKED_INTO
        seen.append(set(asked))
    assert set().union(*seen) == {call.call_id for call in calls}


async def test_among_many_a_call_whose_caller_is_gone_is_looked_into_first(stage: Stage) -> None:
    calls = await many_talk(stage)
    last = calls[-1].call_id
    stage.leaves(SIP, last)
    await stage.reconcile()
    assert await stage.state(last) == ("ended", "user_hangup")


async def test_a_room_that_outlives_its_call_is_deleted(stage: Stage) -> None:
    await stage.begins()
    await stage.happens(EventKind.AGENT_FAILED)
    # Another gateway ended it, and went away before it could delete the room.
    stage.services.room_cleanup._due.clear()
    await stage.reconcile(after=10)
    await stage.pass_time(0)
    assert ROOM in stage.fake.rooms, "whoever ended it has its time"
    await stage.reconcile(after=0.1)
    await stage.pass_time(0)
    assert ROOM not in stage.fake.rooms


async def test_of_very_many_calls_some_are_compared_at_a_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rooms at once would hold up the doors."""
    monkeypatch.setattr(rooms, "SOME", 10)
    for number in range(25):
        await stage.services.lifecycle.register(
            replace(INBOUND, call_id=f"call-many-{number:02}", jambonz={})
        )
    await stage.services.deadline_loop.reconcile()  # the first one is of all
    stage.now += 20_000
    active = await stage.services.storage.registry.count_active()
    for _ in range(3):
        before = active
        await stage.services.deadline_loop.reconcile()
        active = await stage.services.storage.registry.count_active()
        assert before - 10 <= active <= before
    assert active <= 1, "none of them has a room"
    asked = [len(request.names) for request in stage.fake.requested(ListRoomsRequest)]
    assert asked == [0, 10, 10, 0], "of few that are left all are compared again"


async def test_all_rooms_are_seen_from_time_to_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "SOME", 0)
    await stage.services.lifecycle.register(replace(INBOUND, call_id="call-2", jambonz={}))
    await stage.services.deadline_loop.reconcile()
    stage.now += rooms.SEE_ALL_EVERY_MS
    await stage.services.deadline_loop.reconcile()
    asked = [list(request.names) for request in stage.fake.requested(ListRoomsRequest)]
    assert asked == [[], []]


async def test_rooms_are_asked_for_a_hundred_at_a_time(stage: Stage) -> None:
    """A LiveKit without Redis makes none while it looks for many."""
    for number in range(250):
        stage.room(f"room-{number}")
    names = [f"room-{number}" for number in range(0, 250, 2)]
    found = await stage.livekit.rooms(*names, "gone")
    assert [room.name for room in found] == names
    asked = [len(request.names) for request in stage.fake.requested(ListRoomsRequest)]
    assert asked == [100, 26]
