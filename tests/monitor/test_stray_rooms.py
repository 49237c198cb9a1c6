"""Strangers are turned away, and other people's rooms left alone."""

import pytest
import structlog
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import (
    DeleteRoomRequest,
    ListParticipantsRequest,
)
from livekit.protocol.sip import ListSIPDispatchRuleRequest, SIPDispatchRuleInfo

from gateway.calls.call import EventKind
from gateway.livekit.trunks import mark
from gateway.monitor.stray_rooms import LOOKED_INTO as STRANGERS_LOOKED_INTO
from tests.fakes.livekit import Refusal
from tests.monitor.stage import AWAY, OUR_RULE, START, THEIR_RULE, Stage


async def test_a_strangers_room_is_deleted_at_once(stage: Stage) -> None:
    stage.room("1001")
    stage.leg("ringing", room="1001", rule=OUR_RULE)
    with structlog.testing.capture_logs() as lines:
        await stage.livekit_says(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    assert "1001" not in stage.fake.rooms
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "room.stray_deleted"
    ]
    assert stage.services.counters.view()["stray_rooms"] == {"count": 1, "last_at": START}
    assert not await stage.is_known("1001")


async def test_a_strangers_room_that_no_webhook_told_of_is_found(stage: Stage) -> None:
    stage.room("1001")
    await stage.reconcile(after=0)
    stage.leg("ringing", room="1001", rule=OUR_RULE)
    stage.agent("1001")  # dispatched to every room, as unnamed agents are
    await stage.reconcile()
    assert "1001" not in stage.fake.rooms
    assert stage.services.counters.stray_rooms == 1


@pytest.mark.parametrize("rule", [THEIR_RULE, "SDR_unknown", ""])
async def test_callers_of_other_applications_are_left_alone(stage: Stage, rule: str) -> None:
    stage.room("theirs")
    stage.leg(room="theirs", rule=rule)
    await stage.livekit_says(EventKind.CALLER_JOINED, "theirs", rule=rule)
    for _ in range(3):
        await stage.reconcile()
    await stage.pass_time(1)
    assert "theirs" in stage.fake.rooms
    assert stage.looks("theirs") == 1, "once is enough"
    assert stage.services.counters.stray_rooms == 0


async def test_a_room_without_telephones_is_looked_into_only_while_it_is_young(
    stage: Stage,
) -> None:
    stage.room("meeting")
    stage.fake.present("meeting", ParticipantInfo.Kind.STANDARD, "ann")
    for _ in range(5):
        await stage.reconcile(after=5)
    assert stage.looks("meeting") == 3


async def test_a_stranger_in_somebody_elses_room_is_put_out_of_it(stage: Stage) -> None:
    stage.room("meeting")
    stage.fake.present("meeting", ParticipantInfo.Kind.STANDARD, "ann")
    stage.leg(room="meeting", rule=OUR_RULE)
    await stage.livekit_says(EventKind.CALLER_JOINED, "meeting", rule=OUR_RULE)
    assert [who.identity for who in stage.fake.participants["meeting"]] == ["ann"]
    assert stage.services.counters.stray_rooms == 1


async def test_somebody_elses_caller_is_not_put_out_with_a_stranger(stage: Stage) -> None:
    stage.room("theirs")
    stage.leg("active", room="theirs", rule=THEIR_RULE)
    stage.leg("ringing", room="theirs", rule=OUR_RULE)
    await stage.reconcile()
    assert [who.identity for who in stage.fake.participants["theirs"]] == ["sip_active"]


async def test_a_rule_that_setup_has_just_made_is_known(stage: Stage) -> None:
    stage.room("theirs")
    stage.leg(room="theirs", rule=THEIR_RULE)
    await stage.reconcile(after=0)
    new = SIPDispatchRuleInfo(sip_dispatch_rule_id="SDR_new", metadata=mark())
    stage.fake.dispatch_rules.append(new)
    stage.room("1001")
    stage.leg(room="1001", rule="SDR_new")
    await stage.reconcile(after=0)
    assert set(stage.fake.rooms) == {"theirs"}
    assert len(stage.fake.requested(ListSIPDispatchRuleRequest)) == 2


async def test_while_livekit_does_not_tell_its_rules_nothing_is_deleted(stage: Stage) -> None:
    stage.room("1001")
    stage.leg(room="1001", rule=OUR_RULE)
    stage.fake.failures.extend([AWAY] * 200)
    await stage.livekit_says(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    stage.fake.failures.clear()
    stage.fake.failures.extend([None, None, *[AWAY] * 200])  # rooms, who is there, rules
    await stage.reconcile()
    stage.fake.failures.clear()
    assert "1001" in stage.fake.rooms
    assert not stage.fake.requested(DeleteRoomRequest)
    await stage.reconcile(after=0)
    assert "1001" not in stage.fake.rooms
    assert stage.services.counters.stray_rooms == 1


async def test_a_stranger_whom_livekit_does_not_delete_is_counted_once(stage: Stage) -> None:
    stage.room("1001")
    stage.leg(room="1001", rule=OUR_RULE)
    # rules, the room, who is there; then the deletion fails
    stage.fake.failures.extend([None, None, None, Refusal(400, "malformed", "no")])
    await stage.livekit_says(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    assert "1001" in stage.fake.rooms
    await stage.reconcile()
    await stage.livekit_says(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    assert "1001" not in stage.fake.rooms
    assert stage.services.counters.stray_rooms == 1


async def test_many_rooms_of_others_are_looked_into_a_few_at_a_time(stage: Stage) -> None:
    for number in range(450):
        stage.room(f"meeting-{number}", age=60)
    for expected in (STRANGERS_LOOKED_INTO, STRANGERS_LOOKED_INTO, 50, 0):
        stage.fake.requests.clear()
        await stage.reconcile()
        assert len(stage.fake.requested(ListParticipantsRequest)) == expected


@pytest.mark.parametrize("metadata", ["[" * 60_000, "5", '"gateway"', "{", '{"gateway": 1e999}'])
async def test_no_metadata_of_others_stops_the_comparison(stage: Stage, metadata: str) -> None:
    stage.room("theirs", metadata)
    await stage.begins()
    await stage.happens(EventKind.ANSWERED)
    await stage.reconcile()
    assert await stage.state() == ("ended", "user_hangup")
