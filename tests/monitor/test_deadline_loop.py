"""Every call ends: deadlines, lost agents, lost webhooks, rooms that cannot be deleted yet."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NoReturn

import pytest
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import DeleteRoomRequest, ListParticipantsRequest

from gateway.api.services import Services
from gateway.callbacks.delivery import Answer
from gateway.calls.call import Call, Direction, DisconnectionReason, Event, EventKind, Transfer
from gateway.errors import StorageUnavailable
from gateway.jambonz.hooks import CallHook
from gateway.lifecycle.deferred import DeferredWrites
from gateway.livekit.client import LiveKit
from gateway.livekit.webhooks import RoomEvent
from gateway.monitor.deadline_loop import AT_ONCE
from gateway.storage.memory.leader import SingleNode
from gateway.wiring import build_services
from tests.conftest import ConfigMaker
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit, Refusal

START = 1_700_000_000_000
ROOM = "call-1"


class Unsent:
    """No callback leaves these tests."""

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        raise AssertionError(f"{event_id} for {url}")


@dataclass
class Stage:
    """One registered call with its room, and a clock that the test moves."""

    fake: FakeLiveKit
    services: Services = field(init=False)
    now: int = START

    async def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        await self.services.deadline_loop.tick()

    async def happens(self, kind: EventKind, reason: DisconnectionReason | None = None) -> None:
        await self.services.lifecycle.apply(ROOM, Event(kind, self.now, reason=reason))

    async def transfers(self) -> None:
        """The call is answered, and is being handed on."""
        transfer = Transfer("+61491570156", self.now)
        await self.happens(EventKind.ANSWERED)
        event = Event(EventKind.TRANSFER_STARTED, self.now, transfer=transfer)
        await self.services.lifecycle.apply(ROOM, event)

    async def livekit_says(
        self, kind: EventKind, reason: DisconnectionReason | None = None, event_id: str = ""
    ) -> None:
        event = Event(kind, self.now, reason=reason, id=event_id or f"EV_{kind}")
        await self.services.reconciler.on_webhook(RoomEvent(kind, ROOM, event))

    @property
    async def call(self) -> Call:
        call = await self.services.storage.registry.get(ROOM)
        assert call
        return call


@pytest.fixture
async def stage(make_config: ConfigMaker, fake_livekit: FakeLiveKit) -> AsyncIterator[Stage]:
    config = make_config(inbound={"registered_timeout": 60}, monitor={"interval": 0.05})
    fake_livekit.rooms[ROOM] = Room(name=ROOM)
    async with LiveKit.connected(fake_livekit.url, KEY, SECRET, deadline=1.0) as livekit:
        here = Stage(fake_livekit)
        here.services = build_services(config, livekit, Unsent(), clock=lambda: here.now)
        await here.services.lifecycle.register(
            Call(
                ROOM,
                Direction.INBOUND,
                "agent",
                START,
                ringing_timeout=30,
                max_call_duration=100,
            )
        )
        yield here


async def test_a_call_that_no_caller_joins_expires_and_its_room_goes(stage: Stage) -> None:
    await stage.happens(EventKind.AGENT_JOINED)
    await stage.pass_time(60)
    assert (await stage.call).is_active
    await stage.pass_time(0.1)
    assert (await stage.call).disconnection_reason is DisconnectionReason.REGISTERED_CALL_TIMEOUT
    assert ROOM not in stage.fake.rooms


async def test_a_call_that_rings_has_the_time_to_ring(stage: Stage) -> None:
    await stage.happens(EventKind.AGENT_JOINED)
    await stage.happens(EventKind.RINGING)
    await stage.pass_time(90)
    assert (await stage.call).is_active
    await stage.pass_time(0.1)
    assert not (await stage.call).is_active


async def test_a_caller_who_gives_up_leaves_no_agent_waiting(stage: Stage) -> None:
    await stage.happens(EventKind.RINGING)
    await stage.happens(EventKind.HUNG_UP)
    await stage.pass_time(0)
    assert ROOM not in stage.fake.rooms


async def test_a_call_that_no_agent_joins_ends_and_its_room_goes(stage: Stage) -> None:
    await stage.happens(EventKind.RINGING)
    await stage.pass_time(10)
    assert (await stage.call).is_active
    await stage.pass_time(0.1)
    assert (await stage.call).disconnection_reason is DisconnectionReason.NO_AGENT
    # That is what has LiveKit answer the caller's INVITE with 486.
    assert ROOM not in stage.fake.rooms


async def test_an_agent_whose_joining_nobody_told_is_seen_in_the_room(stage: Stage) -> None:
    stage.fake.present(ROOM, ParticipantInfo.Kind.AGENT, "agent-AJ_1")
    await stage.pass_time(10.1)
    await stage.pass_time(1)
    call = await stage.call
    assert call.is_active
    assert [entry.event for entry in call.timeline].count(EventKind.AGENT_JOINED) == 1
    assert len(stage.fake.requested(ListParticipantsRequest)) == 1


async def test_while_livekit_is_away_nobody_is_taken_for_missing(stage: Stage) -> None:
    stage.fake.failures.extend([Refusal(503, "unavailable", "no nodes")] * 50)
    await stage.pass_time(10.1)
    assert (await stage.call).is_active
    stage.fake.failures.clear()
    await stage.pass_time(1)
    assert (await stage.call).disconnection_reason is DisconnectionReason.NO_AGENT


async def test_an_answered_call_has_had_its_agent(stage: Stage) -> None:
    await stage.happens(EventKind.ANSWERED)
    await stage.pass_time(10.1)
    assert (await stage.call).is_active


async def test_a_transfer_that_nobody_tells_the_outcome_of_ends_the_call(stage: Stage) -> None:
    await stage.transfers()
    await stage.pass_time(40)
    assert (await stage.call).is_active
    await stage.pass_time(0.1)
    call = await stage.call
    assert call.disconnection_reason is DisconnectionReason.CALL_TRANSFER
    assert call.transfer
    assert call.transfer.sip is None


async def test_an_agent_that_leaves_during_a_transfer_does_not_end_the_call(stage: Stage) -> None:
    await stage.transfers()
    await stage.livekit_says(EventKind.CALLER_LEFT, DisconnectionReason.USER_HANGUP)
    await stage.livekit_says(EventKind.AGENT_LEFT, DisconnectionReason.AGENT_HANGUP)
    await stage.pass_time(10)
    await stage.livekit_says(EventKind.ROOM_FINISHED)
    assert (await stage.call).is_active
    refused = Event(EventKind.TRANSFER_ENDED, stage.now)
    await stage.services.lifecycle.apply(ROOM, refused)
    await stage.pass_time(1)
    # Nobody is left to talk to.
    assert not (await stage.call).is_active


async def test_a_call_beyond_its_longest_duration_ends(stage: Stage) -> None:
    await stage.happens(EventKind.ANSWERED)
    await stage.pass_time(100)
    assert (await stage.call).is_active
    await stage.pass_time(0.1)
    assert (await stage.call).disconnection_reason is DisconnectionReason.MAX_DURATION_REACHED
    assert ROOM not in stage.fake.rooms


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (DisconnectionReason.AGENT_ERROR, DisconnectionReason.AGENT_ERROR),
        (DisconnectionReason.AGENT_HANGUP, DisconnectionReason.AGENT_HANGUP),
    ],
)
async def test_a_caller_whose_agent_left_is_let_go(
    stage: Stage, why: DisconnectionReason, reason: DisconnectionReason
) -> None:
    await stage.happens(EventKind.ANSWERED)
    await stage.livekit_says(EventKind.AGENT_LEFT, why)
    await stage.pass_time(1)
    assert (await stage.call).is_active
    await stage.pass_time(1)
    assert (await stage.call).disconnection_reason is reason
    assert ROOM not in stage.fake.rooms


async def test_an_agent_whose_process_died_is_still_shown_in_the_room(stage: Stage) -> None:
    agent = ParticipantInfo(kind=ParticipantInfo.Kind.AGENT, identity="agent-AJ_1")
    stage.fake.participants[ROOM] = [agent]
    await stage.happens(EventKind.ANSWERED)
    gone = Event(EventKind.AGENT_GONE, stage.now, ids={"job_id": "AJ_1"})
    await stage.services.lifecycle.apply(ROOM, gone)
    await stage.pass_time(2)
    assert (await stage.call).disconnection_reason is DisconnectionReason.AGENT_ERROR


async def test_an_agent_who_comes_back_keeps_the_call(stage: Stage) -> None:
    await stage.livekit_says(EventKind.AGENT_LEFT, DisconnectionReason.AGENT_ERROR)
    await stage.livekit_says(EventKind.AGENT_JOINED)
    await stage.pass_time(5)
    assert (await stage.call).is_active


async def test_another_agent_in_the_room_keeps_the_call(stage: Stage) -> None:
    stage.fake.participants[ROOM] = [ParticipantInfo(kind=ParticipantInfo.Kind.AGENT)]
    await stage.livekit_says(EventKind.AGENT_LEFT, DisconnectionReason.AGENT_HANGUP)
    await stage.pass_time(5)
    assert (await stage.call).is_active


async def test_an_agent_who_leaves_after_the_caller_changes_nothing(stage: Stage) -> None:
    await stage.happens(EventKind.ANSWERED)
    await stage.livekit_says(EventKind.AGENT_LEFT, DisconnectionReason.AGENT_HANGUP)
    await stage.livekit_says(EventKind.CALLER_LEFT, DisconnectionReason.USER_HANGUP)
    await stage.pass_time(5)
    assert (await stage.call).disconnection_reason is DisconnectionReason.USER_HANGUP


async def test_a_repeated_webhook_counts_once(stage: Stage) -> None:
    for _ in range(3):
        await stage.livekit_says(EventKind.CALLER_JOINED, event_id="EV_1")
    assert [e.event for e in (await stage.call).timeline] == [EventKind.CALLER_JOINED]


async def test_a_call_whose_room_is_gone_ends_though_no_webhook_said_so(stage: Stage) -> None:
    await stage.happens(EventKind.ANSWERED)
    del stage.fake.rooms[ROOM]
    await stage.services.deadline_loop.reconcile()
    assert (await stage.call).is_active, "a room may take a moment to be listed"
    stage.now += 10_001
    await stage.services.deadline_loop.reconcile()
    assert not (await stage.call).is_active


async def test_a_call_whose_room_is_there_goes_on(stage: Stage) -> None:
    stage.now += 20_000
    await stage.services.deadline_loop.reconcile()
    assert (await stage.call).is_active


async def test_reconciling_while_livekit_is_away_ends_nothing(stage: Stage) -> None:
    stage.now += 20_000
    stage.fake.failures.extend([Refusal(400, "malformed", "no")])
    await stage.services.deadline_loop.reconcile()
    assert (await stage.call).is_active


async def test_a_room_that_cannot_be_deleted_is_tried_again(stage: Stage) -> None:
    await stage.happens(EventKind.AGENT_FAILED)
    stage.fake.failures.append(Refusal(400, "malformed", "no"))
    await stage.pass_time(1)
    assert ROOM in stage.fake.rooms
    await stage.pass_time(1)
    assert ROOM not in stage.fake.rooms


async def test_after_a_hang_up_the_agent_has_a_moment_before_the_room_goes(stage: Stage) -> None:
    await stage.happens(EventKind.ANSWERED)
    await stage.happens(EventKind.HUNG_UP)
    await stage.pass_time(1)
    assert ROOM in stage.fake.rooms
    await stage.pass_time(5)
    assert ROOM not in stage.fake.rooms


async def test_while_livekit_is_away_no_call_waits_for_all_the_others(stage: Stage) -> None:
    for number in range(100):
        call = Call(f"call-due-{number}", Direction.INBOUND, "agent", START)
        await stage.services.lifecycle.register(call)
    stage.fake.failures.extend([Refusal(503, "unavailable", "no nodes")] * 2000)
    await stage.pass_time(10.1)
    asked = {request.room for request in stage.fake.requested(ListParticipantsRequest)}
    assert len(asked) == AT_ONCE, "each of them took the whole deadline"


async def test_while_livekit_is_away_not_each_room_is_tried(stage: Stage) -> None:
    for number in range(100):
        stage.services.room_cleanup.schedule(f"room-{number}", grace_ms=0)
    stage.fake.failures.extend([Refusal(503, "unavailable", "no nodes")] * 2000)
    await stage.pass_time(0)
    asked = {request.room for request in stage.fake.requested(DeleteRoomRequest)}
    assert len(asked) == AT_ONCE
    stage.fake.failures.clear()
    await stage.pass_time(0)
    asked = {request.room for request in stage.fake.requested(DeleteRoomRequest)}
    assert len(asked) == 100


async def test_rooms_go_also_while_the_registry_is_away(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(now: int) -> NoReturn:
        raise StorageUnavailable("away")

    monkeypatch.setattr(stage.services.storage.registry, "due", away)
    stage.services.room_cleanup.schedule(ROOM, grace_ms=0)
    with pytest.raises(StorageUnavailable):
        await stage.pass_time(1)
    assert ROOM not in stage.fake.rooms


async def test_a_deed_that_always_fails_holds_up_none_behind_it() -> None:
    deferred = DeferredWrites()
    done: list[str] = []

    async def away() -> None:
        if not done:
            done.append("away")
            raise StorageUnavailable("away")
        done.append("back")

    async def defective() -> NoReturn:
        raise KeyError("a defect")

    async def fine() -> None:
        done.append("fine")

    for write in (away, defective, fine):
        await deferred.write(ROOM, write)
    await deferred.replay()
    assert done == ["away", "back", "fine"]
    assert not deferred


async def test_a_slow_comparison_holds_up_no_deadline(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    compares, ended = asyncio.Event(), asyncio.Event()

    async def reconcile() -> NoReturn:
        compares.set()
        await ended.wait()
        raise KeyError("a defect")

    monkeypatch.setattr(stage.services.reconciler, "reconcile", reconcile)
    await stage.happens(EventKind.ANSWERED)
    running = asyncio.create_task(stage.services.deadline_loop.run())
    try:
        async with asyncio.timeout(10):
            stage.now += 50_000
            await compares.wait()
            stage.now += 60_000
            while ROOM in stage.fake.rooms:
                await asyncio.sleep(0.01)
            compares.clear()
            ended.set()
            await compares.wait()  # neither does a defect end it
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (await stage.call).disconnection_reason is DisconnectionReason.MAX_DURATION_REACHED


async def test_who_is_still_catching_up_leaves_the_turn_to_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    goes_on, acquire = asyncio.Event(), SingleNode.acquire

    async def asks(turn: SingleNode) -> bool:
        asked.append("is it ours?")
        return await acquire(turn)

    monkeypatch.setattr(SingleNode, "acquire", asks)
    stage.services.lifecycle.defer("call-2", lambda _: pytest.fail("there is no such call"))
    get = stage.services.storage.registry.get

    async def takes_long(call_id: str) -> Call | None:
        await goes_on.wait()
        return await get(call_id)

    monkeypatch.setattr(stage.services.storage.registry, "get", takes_long)
    running = asyncio.create_task(stage.services.deadline_loop.run())
    try:
        async with asyncio.timeout(10):
            stage.now += 3_600_000
            for _ in range(6):
                await asyncio.sleep(0.05)  # as often as it looks whether to compare
            assert not asked
            goes_on.set()
            while not asked:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("prepared", [False, True])
async def test_a_call_whose_registration_lost_its_answer_is_the_fallbacks(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, prepared: bool
) -> None:
    registry = stage.services.storage.registry
    add = registry.add

    async def loses_the_answer(call: Call) -> NoReturn:
        await add(call)
        raise StorageUnavailable("no answer in time")

    monkeypatch.setattr(registry, "add", loses_the_answer)
    (verb,) = await stage.services.inbound.on_call(CallHook("sid-2", "+15550100", "+15550199", ""))
    assert (verb["verb"], verb["status"]) == ("sip:decline", 503)
    call = await registry.find_by_call_sid("sid-2")
    assert call
    if prepared:  # by another gateway, which was asked too
        room = Event(EventKind.ROOM_CREATED, stage.now, ids={"room_sid": "RM_2"})
        await registry.apply(call.call_id, room)
    await stage.pass_time(1)
    call = await registry.find_by_call_sid("sid-2")
    assert call
    assert call.is_active == prepared
    assert call.disconnection_reason == (None if prepared else DisconnectionReason.DIAL_FAILED)
