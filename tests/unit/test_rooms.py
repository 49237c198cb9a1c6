"""Calls and rooms: what was missed is seen, what was lost rebuilt, strangers are turned away."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
import structlog
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import (
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
)
from livekit.protocol.sip import ListSIPDispatchRuleRequest, SIPDispatchRuleInfo

from gateway import rooms
from gateway.callbacks.delivery import Answer
from gateway.calls import (
    Call,
    CallStatus,
    Direction,
    Event,
    EventKind,
    Transfer,
)
from gateway.diagnostics import Seen
from gateway.jambonz.hooks import CallHook, StatusHook
from gateway.livekit.client import LiveKit
from gateway.livekit.trunks import mark
from gateway.livekit.webhooks import RoomEvent
from gateway.metadata import room_metadata
from gateway.parts import Parts
from gateway.rooms import LOOKED_INTO
from gateway.settings import Config
from gateway.uninvited import LOOKED_INTO as STRANGERS_LOOKED_INTO
from tests.conftest import ConfigMaker
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit, Refusal

START = 1_700_000_000_000
ROOM = "call-1"
URL = "https://gateway.example.com"
CALLBACK = "https://n8n.example.com/webhook?signature=x"
OUR_RULE = "SDR_ours"
THEIR_RULE = "SDR_theirs"
AWAY = Refusal(503, "unavailable", "no nodes")
AGENT = ParticipantInfo.Kind.AGENT
SIP = ParticipantInfo.Kind.SIP

INBOUND = Call(
    ROOM,
    Direction.INBOUND,
    "agent",
    START,
    from_number="+15550100",
    to_number="+15550199",
    max_call_duration=1000,
    jambonz={"call_sid": "sid-1"},
)
OUTBOUND = replace(
    INBOUND,
    call_id="outbound-1",
    direction=Direction.OUTBOUND,
    ringing_timeout=90,
    jambonz={},
    callback_url=CALLBACK,
)


@dataclass
class Sent:
    """Takes every callback."""

    calls: list[tuple[str, str, str]] = field(default_factory=list)

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        told = json.loads(body)
        self.calls.append((url, told["event"], told["call"]["disconnection_reason"]))
        return Answer(204)

    async def heard(self, number: int) -> list[tuple[str, str, str]]:
        async with asyncio.timeout(5):
            while len(self.calls) < number:
                await asyncio.sleep(0)
        return self.calls


@dataclass
class Stage:
    """A gateway without its doors, and a clock that the test moves."""

    config: Config
    fake: FakeLiveKit
    livekit: LiveKit
    sent: Sent = field(default_factory=Sent)
    seen: Seen = field(default_factory=Seen)
    now: int = START

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A gateway that knows of nothing; the one before is as good as killed."""
        self.parts = Parts(self.config, self.livekit, self.sent, self.seen, clock=lambda: self.now)
        assert self.parts.registry, "since now"

    def restart(self, *, after: float) -> None:
        self.now += round(after * 1000)
        self.start()

    async def begins(self, call: Call = INBOUND) -> None:
        """A call with its room, as the strategies make it."""
        await self.parts.lifecycle.register(call)
        self.has_room(call)

    def has_room(self, call: Call, *, own_url: str = URL, parks: bool = False) -> None:
        metadata = room_metadata(call, own_url=own_url, parks=parks)
        self.room(call.call_id, metadata)

    def room(self, name: str, metadata: str = "", *, age: float = 0) -> None:
        made = self.now - round(age * 1000)
        room = Room(name=name, sid=f"RM_{name}", metadata=metadata, creation_time_ms=made)
        self.fake.rooms[name] = room

    def leg(self, status: str = "active", *, room: str = ROOM, rule: str = "") -> None:
        attributes = {"sip.callStatus": status} | ({"sip.ruleID": rule} if rule else {})
        self.fake.present(room, SIP, f"sip_{status}", attributes, joined_at=self.now)

    def agent(self, room: str = ROOM) -> None:
        self.fake.present(room, AGENT, "agent-AJ_1")

    def leaves(self, kind: ParticipantInfo.Kind, room: str = ROOM) -> None:
        self.fake.participants[room] = [
            who for who in self.fake.participants[room] if who.kind != kind
        ]

    async def happens(self, *kinds: EventKind, room: str = ROOM) -> None:
        for kind in kinds:
            await self.parts.lifecycle.apply(room, Event(kind, self.now))

    async def compare(self, *, after: float = 15) -> None:
        self.now += round(after * 1000)
        await self.parts.watch.compare()

    async def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        await self.parts.watch.tick()

    async def livekit_says(
        self, kind: EventKind, room: str = ROOM, *, metadata: str = "", rule: str = ""
    ) -> None:
        event = Event(kind, self.now, id=f"EV_{kind}_{room}")
        await self.parts.rooms.told(RoomEvent(kind, room, event, f"RM_{room}", metadata, rule))

    async def call(self, room: str = ROOM) -> Call:
        call = await self.parts.registry.get(room)
        assert call, "it is not known"
        return call

    async def state(self, room: str = ROOM) -> tuple[str, str | None]:
        call = await self.call(room)
        return call.call_status, call.disconnection_reason

    async def is_known(self, room: str = ROOM) -> bool:
        return await self.parts.registry.get(room) is not None

    def looks(self, room: str) -> int:
        asked = self.fake.requested(ListParticipantsRequest)
        return sum(1 for request in asked if request.room == room)


@pytest.fixture
async def stage(make_config: ConfigMaker, fake_livekit: FakeLiveKit) -> AsyncIterator[Stage]:
    config = make_config({"GATEWAY_PUBLIC_URL": URL}, inbound={"registered_timeout": 60})
    rules = ((OUR_RULE, mark()), (THEIR_RULE, ""))
    fake_livekit.dispatch_rules = [
        SIPDispatchRuleInfo(sip_dispatch_rule_id=name, metadata=metadata)
        for name, metadata in rules
    ]
    async with LiveKit.connected(fake_livekit.url, KEY, SECRET, deadline=0.2) as livekit:
        here = Stage(config, fake_livekit, livekit)
        yield here
        await here.parts.close(grace=1)


# What was not told is seen


async def test_an_answer_that_nobody_told_is_seen_in_the_room(stage: Stage) -> None:
    await stage.begins()
    stage.agent()
    stage.leg()
    await stage.compare()
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
        await stage.compare()
        await stage.pass_time(1)
    assert await stage.state(OUTBOUND.call_id) == ("ringing", None), "it has its time to ring"
    await stage.pass_time(71)
    call_status, reason = await stage.state(OUTBOUND.call_id)
    assert (call_status, reason) == ("not_connected", "registered_call_timeout")


async def test_the_answer_of_a_callee_is_not_the_moment_the_ringing_began(stage: Stage) -> None:
    await stage.begins(OUTBOUND)
    stage.leg(room=OUTBOUND.call_id)
    await stage.compare(after=15)
    assert (await stage.call(OUTBOUND.call_id)).answer_timestamp == START + 15_000


async def test_a_parked_caller_waits_for_livekits_leg(stage: Stage) -> None:
    await stage.begins()
    await stage.happens(EventKind.PARKED)
    stage.agent()
    await stage.compare()
    assert await stage.state() == ("registered", None)
    stage.leg("ringing")
    await stage.compare()
    assert await stage.state() == ("ringing", None)


async def test_a_hang_up_that_nobody_told_ends_the_call(stage: Stage) -> None:
    await stage.begins()
    stage.agent()
    stage.leg()
    await stage.happens(EventKind.ANSWERED)
    await stage.compare()
    assert await stage.state() == ("ongoing", None)
    stage.leaves(SIP)
    await stage.compare()
    assert await stage.state() == ("ended", "user_hangup")


async def test_a_leg_may_take_a_moment_to_be_seen(stage: Stage) -> None:
    await stage.begins()
    stage.now += 60_000
    await stage.happens(EventKind.ANSWERED)
    await stage.compare(after=10)
    assert await stage.state() == ("ongoing", None)
    await stage.compare(after=0.1)
    assert await stage.state() == ("ended", "user_hangup")


async def test_an_agent_who_left_without_a_word_ends_the_call(stage: Stage) -> None:
    await stage.begins()
    stage.leg()
    stage.agent()
    await stage.happens(EventKind.ANSWERED)
    await stage.compare()
    stage.leaves(AGENT)
    await stage.compare()
    await stage.pass_time(1)
    assert await stage.state() == ("ongoing", None), "the word of it may still come"
    await stage.pass_time(1)
    assert await stage.state() == ("error", "agent_error")
    assert ROOM not in stage.fake.rooms


async def test_a_call_that_nothing_is_told_of_ends_all_the_same(stage: Stage) -> None:
    await stage.begins()
    stage.agent()
    stage.leg("ringing")
    await stage.compare()
    stage.leaves(SIP)
    stage.leg()
    await stage.compare()
    stage.leaves(SIP)
    await stage.compare()
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
    await stage.parts.lifecycle.apply(ROOM, event)
    await stage.compare()
    del stage.fake.rooms[ROOM]
    await stage.compare()
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
        await stage.compare()
        await stage.pass_time(1)
    assert await stage.state() == ("ongoing", None)
    stage.fake.failures.clear()
    await stage.compare(after=0)
    assert await stage.state() == ("ended", "user_hangup")


async def test_livekit_may_go_away_between_two_questions(stage: Stage) -> None:
    await stage.begins()
    await stage.happens(EventKind.ANSWERED)
    stage.fake.failures.extend([None, *[AWAY] * 200])
    await stage.compare()
    assert await stage.state() == ("ongoing", None)
    stage.fake.failures.clear()
    await stage.compare(after=0)
    assert await stage.state() == ("ended", "user_hangup")


async def test_a_room_that_livekit_tells_nothing_of_keeps_nobody_from_the_others(
    stage: Stage,
) -> None:
    calls = [replace(INBOUND, call_id=f"call-{n}", jambonz={}) for n in range(20)]
    for call in calls:
        await stage.begins(call)
        await stage.happens(EventKind.ANSWERED, room=call.call_id)
    stage.fake.failures.extend([None, *[Refusal(400, "malformed", "no")] * 10])
    await stage.compare()
    states = [(await stage.state(call.call_id))[0] for call in calls]
    assert sorted(states) == ["ended"] * 10 + ["ongoing"] * 10


async def test_many_calls_are_looked_into_in_turn(stage: Stage) -> None:
    calls = [replace(INBOUND, call_id=f"call-{n:04}", jambonz={}) for n in range(450)]
    for call in calls:
        await stage.begins(call)
        await stage.happens(EventKind.AGENT_JOINED, EventKind.ANSWERED, room=call.call_id)
        stage.leg(room=call.call_id)
        stage.agent(call.call_id)
    seen: list[set[str]] = []
    for _ in range(3):
        stage.fake.requests.clear()
        await stage.compare()
        asked = [request.room for request in stage.fake.requested(ListParticipantsRequest)]
        assert len(asked) == len(set(asked)) <= LOOKED_INTO
        seen.append(set(asked))
    assert set().union(*seen) == {call.call_id for call in calls}


async def test_among_many_a_call_whose_caller_is_gone_is_looked_into_first(stage: Stage) -> None:
    calls = [replace(INBOUND, call_id=f"call-{n:04}", jambonz={}) for n in range(450)]
    for call in calls:
        await stage.begins(call)
        await stage.happens(EventKind.AGENT_JOINED, EventKind.ANSWERED, room=call.call_id)
        stage.leg(room=call.call_id)
        stage.agent(call.call_id)
    last = calls[-1].call_id
    stage.leaves(SIP, last)
    await stage.compare()
    assert await stage.state(last) == ("ended", "user_hangup")


async def test_a_room_that_outlives_its_call_is_deleted(stage: Stage) -> None:
    await stage.begins()
    await stage.happens(EventKind.AGENT_FAILED)
    # Another gateway ended it, and went away before it could delete the room.
    stage.parts.sweeper._due.clear()
    await stage.compare(after=10)
    await stage.pass_time(0)
    assert ROOM in stage.fake.rooms, "whoever ended it has its time"
    await stage.compare(after=0.1)
    await stage.pass_time(0)
    assert ROOM not in stage.fake.rooms


# What was lost is rebuilt


async def test_after_a_restart_a_call_is_as_it_was(stage: Stage) -> None:
    await stage.begins()
    stage.agent()
    stage.leg()
    await stage.happens(EventKind.AGENT_JOINED, EventKind.ANSWERED)
    stage.restart(after=100)
    await stage.compare(after=0)
    call = await stage.call()
    assert call.call_status is CallStatus.ONGOING
    assert (call.from_number, call.to_number) == ("+15550100", "+15550199")
    assert (call.agent_name, call.agent_came) == ("agent", True)
    assert (call.start_timestamp, call.answer_timestamp) == (START, START)
    assert call.livekit["room_sid"] == f"RM_{ROOM}"
    assert EventKind.REBUILT in [entry.event for entry in call.timeline]
    # Its limits hold: it has lasted 100 s of its 1000.
    await stage.pass_time(900.1)
    assert await stage.state() == ("ended", "max_duration_reached")


async def test_jambonz_hooks_know_a_call_that_was_rebuilt(stage: Stage) -> None:
    await stage.begins()
    stage.leg()
    stage.restart(after=10)
    await stage.compare(after=0)
    hook = CallHook("sid-1", "+15550100", "+15550199", "")
    (dial,) = await stage.parts.inbound.arrived(hook)
    assert dial["headers"] == {"X-Call-Id": ROOM}, "a repeated hook gets the same call"
    await stage.parts.inbound.status_changed(
        StatusHook("sid-1", "completed", terminated_by="caller")
    )
    assert await stage.state() == ("ended", "user_hangup")


async def test_an_outbound_call_tells_its_callback_url_after_a_restart(stage: Stage) -> None:
    await stage.begins(OUTBOUND)
    stage.leg(room=OUTBOUND.call_id)
    stage.agent(OUTBOUND.call_id)
    stage.restart(after=10)
    await stage.compare(after=0)
    stage.leaves(SIP, OUTBOUND.call_id)
    await stage.compare()
    assert await stage.sent.heard(2) == [
        (CALLBACK, "call_started", None),
        (CALLBACK, "call_ended", "user_hangup"),
    ]


async def test_a_call_that_rang_while_the_gateway_was_killed_rings_on(stage: Stage) -> None:
    await stage.begins(OUTBOUND)
    stage.agent(OUTBOUND.call_id)
    stage.leg("ringing", room=OUTBOUND.call_id)
    stage.restart(after=70)
    await stage.compare(after=0)
    await stage.pass_time(1)
    assert await stage.state(OUTBOUND.call_id) == ("ringing", None)
    stage.leaves(SIP, OUTBOUND.call_id)
    await stage.pass_time(80)
    assert await stage.state(OUTBOUND.call_id) == ("not_connected", "registered_call_timeout")


async def test_a_parked_caller_is_still_parked_after_a_restart(stage: Stage) -> None:
    await stage.parts.lifecycle.register(INBOUND)
    stage.has_room(INBOUND, parks=True)
    stage.restart(after=1)
    await stage.compare(after=0)
    verbs = await stage.parts.inbound.arrived(CallHook("sid-2", "+15550100", ROOM, ""))
    assert "dequeue" in [verb["verb"] for verb in verbs], "it is LiveKit that calls, nobody new"


@pytest.mark.parametrize("answered", [True, False])
async def test_a_call_found_without_anybody_ends_as_lost(stage: Stage, answered: bool) -> None:
    await stage.begins(OUTBOUND)
    if answered:
        await stage.happens(EventKind.ANSWERED, room=OUTBOUND.call_id)
        await stage.sent.heard(1)
        stage.sent.calls.clear()
    stage.restart(after=100)
    await stage.compare(after=0)
    await stage.pass_time(1)
    assert await stage.state(OUTBOUND.call_id) == ("error", "gateway_lost")
    assert OUTBOUND.call_id not in stage.fake.rooms
    assert await stage.sent.heard(1) == [(CALLBACK, "call_ended", "gateway_lost")]


async def test_a_lost_inbound_call_without_an_agent_is_not_said_to_have_had_none(
    stage: Stage,
) -> None:
    await stage.begins()
    stage.restart(after=15)
    await stage.compare(after=0)
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
    assert happened == ["registered", "rebuilt", "caller_left", "room_finished"]


async def test_a_call_that_began_since_the_start_was_kept_long_enough(stage: Stage) -> None:
    call = replace(OUTBOUND, start_timestamp=START)
    stage.has_room(call)
    metadata = room_metadata(call, own_url=URL)
    await stage.livekit_says(EventKind.ROOM_FINISHED, call.call_id, metadata=metadata)
    await stage.compare()
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
    await stage.compare()
    await stage.pass_time(10)
    assert ROOM in stage.fake.rooms
    assert not await stage.is_known()
    assert stage.seen.uninvited_rooms == 0


async def test_a_caller_who_joins_a_lost_call_is_no_stranger(stage: Stage) -> None:
    await stage.begins()
    stage.restart(after=1)
    stage.leg(rule=OUR_RULE)
    await stage.livekit_says(EventKind.CALLER_JOINED, rule=OUR_RULE)
    await stage.compare()
    assert await stage.state() == ("ongoing", None)
    assert ROOM in stage.fake.rooms


async def test_a_caller_whom_jambonz_sent_anew_is_not_taken_for_two(stage: Stage) -> None:
    await stage.begins()
    stage.restart(after=5)
    again = replace(INBOUND, call_id="call-2", start_timestamp=stage.now)
    await stage.begins(again)
    await stage.compare(after=0)
    await stage.pass_time(0)
    assert not await stage.is_known()
    assert set(stage.fake.rooms) == {"call-2"}


async def test_a_call_is_rebuilt_once(stage: Stage) -> None:
    await stage.begins()
    stage.restart(after=5)
    metadata = stage.fake.rooms[ROOM].metadata
    await asyncio.gather(
        stage.compare(after=0),
        stage.livekit_says(EventKind.AGENT_JOINED, metadata=metadata),
        stage.parts.watch.compare(),
    )
    happened = [entry.event for entry in (await stage.call()).timeline]
    assert happened.count(EventKind.REBUILT) == 1
    assert EventKind.AGENT_JOINED in happened


# Strangers are turned away


async def test_a_strangers_room_is_deleted_at_once(stage: Stage) -> None:
    stage.room("1001")
    stage.leg("ringing", room="1001", rule=OUR_RULE)
    with structlog.testing.capture_logs() as lines:
        await stage.livekit_says(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    assert "1001" not in stage.fake.rooms
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["room.uninvited"]
    assert stage.seen.view()["uninvited_rooms"] == {"count": 1, "last_at": START}
    assert not await stage.is_known("1001")


async def test_a_strangers_room_that_no_webhook_told_of_is_found(stage: Stage) -> None:
    stage.room("1001")
    await stage.compare(after=0)
    stage.leg("ringing", room="1001", rule=OUR_RULE)
    stage.agent("1001")  # dispatched to every room, as unnamed agents are
    await stage.compare()
    assert "1001" not in stage.fake.rooms
    assert stage.seen.uninvited_rooms == 1


@pytest.mark.parametrize("rule", [THEIR_RULE, "SDR_unknown", ""])
async def test_callers_of_other_applications_are_left_alone(stage: Stage, rule: str) -> None:
    stage.room("theirs")
    stage.leg(room="theirs", rule=rule)
    await stage.livekit_says(EventKind.CALLER_JOINED, "theirs", rule=rule)
    for _ in range(3):
        await stage.compare()
    await stage.pass_time(1)
    assert "theirs" in stage.fake.rooms
    assert stage.looks("theirs") == 1, "once is enough"
    assert stage.seen.uninvited_rooms == 0


async def test_a_room_without_telephones_is_looked_into_only_while_it_is_young(
    stage: Stage,
) -> None:
    stage.room("meeting")
    stage.fake.present("meeting", ParticipantInfo.Kind.STANDARD, "ann")
    for _ in range(5):
        await stage.compare(after=5)
    assert stage.looks("meeting") == 3


async def test_a_stranger_in_somebody_elses_room_is_put_out_of_it(stage: Stage) -> None:
    stage.room("meeting")
    stage.fake.present("meeting", ParticipantInfo.Kind.STANDARD, "ann")
    stage.leg(room="meeting", rule=OUR_RULE)
    await stage.livekit_says(EventKind.CALLER_JOINED, "meeting", rule=OUR_RULE)
    assert [who.identity for who in stage.fake.participants["meeting"]] == ["ann"]
    assert stage.seen.uninvited_rooms == 1


async def test_somebody_elses_caller_is_not_put_out_with_a_stranger(stage: Stage) -> None:
    stage.room("theirs")
    stage.leg("active", room="theirs", rule=THEIR_RULE)
    stage.leg("ringing", room="theirs", rule=OUR_RULE)
    await stage.compare()
    assert [who.identity for who in stage.fake.participants["theirs"]] == ["sip_active"]


async def test_a_rule_that_setup_has_just_made_is_known(stage: Stage) -> None:
    stage.room("theirs")
    stage.leg(room="theirs", rule=THEIR_RULE)
    await stage.compare(after=0)
    new = SIPDispatchRuleInfo(sip_dispatch_rule_id="SDR_new", metadata=mark())
    stage.fake.dispatch_rules.append(new)
    stage.room("1001")
    stage.leg(room="1001", rule="SDR_new")
    await stage.compare(after=0)
    assert set(stage.fake.rooms) == {"theirs"}
    assert len(stage.fake.requested(ListSIPDispatchRuleRequest)) == 2


async def test_while_livekit_does_not_tell_its_rules_nothing_is_deleted(stage: Stage) -> None:
    stage.room("1001")
    stage.leg(room="1001", rule=OUR_RULE)
    stage.fake.failures.extend([AWAY] * 200)
    await stage.livekit_says(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    stage.fake.failures.clear()
    stage.fake.failures.extend([None, None, *[AWAY] * 200])  # rooms, who is there, rules
    await stage.compare()
    stage.fake.failures.clear()
    assert "1001" in stage.fake.rooms
    assert not stage.fake.requested(DeleteRoomRequest)
    await stage.compare(after=0)
    assert "1001" not in stage.fake.rooms
    assert stage.seen.uninvited_rooms == 1


async def test_a_stranger_whom_livekit_does_not_delete_is_counted_once(stage: Stage) -> None:
    stage.room("1001")
    stage.leg(room="1001", rule=OUR_RULE)
    # rules, the room, who is there; then the deletion fails
    stage.fake.failures.extend([None, None, None, Refusal(400, "malformed", "no")])
    await stage.livekit_says(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    assert "1001" in stage.fake.rooms
    await stage.compare()
    await stage.livekit_says(EventKind.CALLER_JOINED, "1001", rule=OUR_RULE)
    assert "1001" not in stage.fake.rooms
    assert stage.seen.uninvited_rooms == 1


async def test_many_rooms_of_others_are_looked_into_a_few_at_a_time(stage: Stage) -> None:
    for number in range(450):
        stage.room(f"meeting-{number}", age=60)
    for expected in (STRANGERS_LOOKED_INTO, STRANGERS_LOOKED_INTO, 50, 0):
        stage.fake.requests.clear()
        await stage.compare()
        assert len(stage.fake.requested(ListParticipantsRequest)) == expected


@pytest.mark.parametrize("metadata", ["[" * 60_000, "5", '"gateway"', "{", '{"gateway": 1e999}'])
async def test_no_metadata_of_others_stops_the_comparison(stage: Stage, metadata: str) -> None:
    stage.room("theirs", metadata)
    await stage.begins()
    await stage.happens(EventKind.ANSWERED)
    await stage.compare()
    assert await stage.state() == ("ended", "user_hangup")


async def test_of_very_many_calls_some_are_compared_at_a_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rooms at once would hold up the doors."""
    monkeypatch.setattr(rooms, "SOME", 10)
    for number in range(25):
        await stage.parts.lifecycle.register(
            replace(INBOUND, call_id=f"call-many-{number:02}", jambonz={})
        )
    await stage.parts.watch.compare()  # the first one is of all
    stage.now += 20_000
    active = await stage.parts.registry.count_active()
    for _ in range(3):
        before = active
        await stage.parts.watch.compare()
        active = await stage.parts.registry.count_active()
        assert before - 10 <= active <= before
    assert active <= 1, "none of them has a room"
    asked = [len(request.names) for request in stage.fake.requested(ListRoomsRequest)]
    assert asked == [0, 10, 10, 0], "of few that are left all are compared again"


async def test_all_rooms_are_seen_from_time_to_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "SOME", 0)
    await stage.parts.lifecycle.register(replace(INBOUND, call_id="call-2", jambonz={}))
    await stage.parts.watch.compare()
    stage.now += rooms.SEE_ALL_EVERY_MS
    await stage.parts.watch.compare()
    asked = [list(request.names) for request in stage.fake.requested(ListRoomsRequest)]
    assert asked == [[], []]
