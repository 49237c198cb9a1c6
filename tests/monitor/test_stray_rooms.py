"""Rooms of unsolicited callers are deleted, and those of other applications are not changed."""

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
from gateway.monitor.stray_rooms import MAX_ROOMS_CHECKED as MAX_STRAY_ROOMS_CHECKED
from tests.fakes.livekit import TwirpError
from tests.monitor.harness import OUR_RULE, START, THEIR_RULE, UNAVAILABLE, Harness


async def test_the_room_of_an_unsolicited_caller_is_deleted_at_once(harness: Harness) -> None:
    harness.add_room("1001")
    harness.add_leg("ringing", room="1001", rule=OUR_RULE)
    with structlog.testing.capture_logs() as lines:
        await harness.webhook(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    assert "1001" not in harness.fake.rooms
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "room.stray_deleted"
    ]
    assert harness.services.counters.view()["stray_rooms"] == {"count": 1, "last_at": START}
    assert not await harness.is_stored("1001")


async def test_a_stray_room_is_found_without_a_webhook(harness: Harness) -> None:
    harness.add_room("1001")
    await harness.reconcile(after=0)
    harness.add_leg("ringing", room="1001", rule=OUR_RULE)
    harness.add_agent("1001")  # dispatched to every room, as unnamed agents are
    await harness.reconcile()
    assert "1001" not in harness.fake.rooms
    assert harness.services.counters.stray_rooms == 1


@pytest.mark.parametrize("rule", [THEIR_RULE, "SDR_unknown", ""])
async def test_callers_of_other_applications_are_not_removed(harness: Harness, rule: str) -> None:
    harness.add_room("theirs")
    harness.add_leg(room="theirs", rule=rule)
    await harness.webhook(EventKind.CALLER_JOINED, "theirs", rule=rule)
    for _ in range(3):
        await harness.reconcile()
    await harness.pass_time(1)
    assert "theirs" in harness.fake.rooms
    assert harness.participant_requests("theirs") == 1, "one check is enough"
    assert harness.services.counters.stray_rooms == 0


@pytest.mark.field("D5")
@pytest.mark.parametrize("clock_difference", [0, -3600, 3600], ids="{}s".format)
async def test_a_room_without_sip_legs_is_checked_only_while_it_is_new(
    harness: Harness, clock_difference: int
) -> None:
    """Whatever LiveKit's clock says."""
    harness.add_room("meeting", created_at=harness.now + clock_difference * 1000)
    harness.fake.add_participant("meeting", ParticipantInfo.Kind.STANDARD, "ann")
    for _ in range(5):
        await harness.reconcile(after=5)
    assert harness.participant_requests("meeting") == 4


async def test_an_unsolicited_caller_is_removed_from_a_room_of_others(harness: Harness) -> None:
    harness.add_room("meeting")
    harness.fake.add_participant("meeting", ParticipantInfo.Kind.STANDARD, "ann")
    harness.add_leg(room="meeting", rule=OUR_RULE)
    await harness.webhook(EventKind.CALLER_JOINED, "meeting", rule=OUR_RULE)
    assert [p.identity for p in harness.fake.participants["meeting"]] == ["ann"]
    assert harness.services.counters.stray_rooms == 1


async def test_a_caller_of_others_stays_when_an_unsolicited_one_is_removed(
    harness: Harness,
) -> None:
    harness.add_room("theirs")
    harness.add_leg(room="theirs", rule=THEIR_RULE, identity="sip_theirs")
    harness.add_leg("ringing", room="theirs", rule=OUR_RULE)
    await harness.reconcile()
    assert [p.identity for p in harness.fake.participants["theirs"]] == ["sip_theirs"]


async def test_a_dispatch_rule_that_setup_has_just_created_is_known(harness: Harness) -> None:
    harness.add_room("theirs")
    harness.add_leg(room="theirs", rule=THEIR_RULE)
    await harness.reconcile(after=0)
    new = SIPDispatchRuleInfo(sip_dispatch_rule_id="SDR_new", metadata=mark())
    harness.fake.dispatch_rules.append(new)
    harness.add_room("1001")
    harness.add_leg(room="1001", rule="SDR_new")
    await harness.reconcile(after=0)
    assert set(harness.fake.rooms) == {"theirs"}
    assert len(harness.fake.requested(ListSIPDispatchRuleRequest)) == 2


async def test_while_livekit_does_not_list_its_rules_nothing_is_deleted(harness: Harness) -> None:
    harness.add_room("1001")
    harness.add_leg(room="1001", rule=OUR_RULE)
    harness.fake.failures.extend([UNAVAILABLE] * 200)
    await harness.webhook(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    harness.fake.failures.clear()
    harness.fake.failures.extend([None, None, *[UNAVAILABLE] * 200])  # rooms, participants, rules
    await harness.reconcile()
    harness.fake.failures.clear()
    assert "1001" in harness.fake.rooms
    assert not harness.fake.requested(DeleteRoomRequest)
    await harness.reconcile(after=0)
    assert "1001" not in harness.fake.rooms
    assert harness.services.counters.stray_rooms == 1


async def test_a_stray_room_that_cannot_be_deleted_is_counted_once(harness: Harness) -> None:
    harness.add_room("1001")
    harness.add_leg(room="1001", rule=OUR_RULE)
    # rules, the room, its participants; then the deletion fails
    harness.fake.failures.extend([None, None, None, TwirpError(400, "malformed", "no")])
    await harness.webhook(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    assert "1001" in harness.fake.rooms
    await harness.reconcile()
    await harness.webhook(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    assert "1001" not in harness.fake.rooms
    assert harness.services.counters.stray_rooms == 1


async def test_many_rooms_of_others_are_checked_a_few_at_a_time(harness: Harness) -> None:
    for number in range(450):
        harness.add_room(f"meeting-{number}")
    await harness.reconcile()  # after this their time without a leg is known
    for expected in (MAX_STRAY_ROOMS_CHECKED, MAX_STRAY_ROOMS_CHECKED, 50, 0):
        harness.fake.requests.clear()
        await harness.reconcile()
        assert len(harness.fake.requested(ListParticipantsRequest)) == expected


@pytest.mark.parametrize("metadata", ["[" * 60_000, "5", '"gateway"', "{", '{"gateway": 1e999}'])
async def test_malformed_metadata_of_others_does_not_stop_reconciling(
    harness: Harness, metadata: str
) -> None:
    harness.add_room("theirs", metadata)
    await harness.register_with_room()
    await harness.apply(EventKind.ANSWERED)
    await harness.reconcile()
    await harness.pass_time(2)
    assert await harness.state() == ("ended", "user_hangup")
