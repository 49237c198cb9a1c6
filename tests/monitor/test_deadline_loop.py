"""Every call ends: deadlines, agents that leave, lost webhooks, rooms that are deleted late."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NoReturn

import pytest
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import DeleteRoomRequest, ListParticipantsRequest

from gateway.api.services import Services
from gateway.callbacks.delivery import Answer
from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.calls.outcomes import Transfer
from gateway.calls.reasons import DisconnectionReason
from gateway.errors import StorageUnavailable
from gateway.jambonz.hooks import CallHook
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.room_cleanup import MAX_CONCURRENT_DELETIONS
from gateway.livekit.client import LiveKit
from gateway.livekit.webhooks import RoomEvent
from gateway.monitor import deadline_loop
from gateway.monitor.deadline_loop import MAX_CONCURRENT_CHECKS
from gateway.storage.memory.leader import SingleNode
from gateway.storage.registry import ActiveLimits
from tests.conftest import ConfigMaker
from tests.fakes.clock import clock_showing
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit, TwirpError
from tests.monitor.harness import services_in_memory

START = 1_700_000_000_000
ROOM = "call-1"


class NoCallbacks:
    """A transport that fails: none of these calls has a callback."""

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        raise AssertionError(f"{event_id} for {url}")


@dataclass
class SingleCall:
    """A gateway with one registered call and its room, and a clock that the test sets."""

    fake: FakeLiveKit
    services: Services = field(init=False)
    now: int = START

    async def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        await self.services.deadline_loop.tick()

    async def apply(self, kind: EventKind, reason: DisconnectionReason | None = None) -> None:
        await self.services.lifecycle.apply(ROOM, Event(kind, self.now, reason=reason))

    async def start_transfer(self) -> None:
        """The call is answered, and its transfer starts."""
        transfer = Transfer("+61491570156", self.now)
        await self.apply(EventKind.ANSWERED)
        event = Event(EventKind.TRANSFER_STARTED, self.now, transfer=transfer)
        await self.services.lifecycle.apply(ROOM, event)

    async def webhook(
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
async def harness(make_config: ConfigMaker, fake_livekit: FakeLiveKit) -> AsyncIterator[SingleCall]:
    config = make_config(inbound={"registered_timeout": 60}, monitor={"interval": 0.05})
    fake_livekit.rooms[ROOM] = Room(name=ROOM)
    async with LiveKit.connected(fake_livekit.url, KEY, SECRET, timeout=1.0) as livekit:
        harness = SingleCall(fake_livekit)
        harness.services = services_in_memory(
            config, livekit, NoCallbacks(), clock=clock_showing(lambda: harness.now)
        )
        await harness.services.lifecycle.register(
            Call(
                ROOM,
                Direction.INBOUND,
                "agent",
                START,
                ringing_timeout=30,
                max_call_duration=100,
            )
        )
        yield harness


async def test_a_call_that_no_caller_joins_expires_and_its_room_is_deleted(
    harness: SingleCall,
) -> None:
    await harness.apply(EventKind.AGENT_JOINED)
    await harness.pass_time(60)
    assert (await harness.call).is_active
    await harness.pass_time(0.1)
    assert (await harness.call).disconnection_reason is DisconnectionReason.REGISTERED_CALL_TIMEOUT
    assert ROOM not in harness.fake.rooms


async def test_a_ringing_call_expires_after_its_ringing_time(harness: SingleCall) -> None:
    await harness.apply(EventKind.AGENT_JOINED)
    await harness.apply(EventKind.RINGING)
    await harness.pass_time(90)
    assert (await harness.call).is_active
    await harness.pass_time(0.1)
    assert not (await harness.call).is_active


async def test_the_room_is_deleted_when_the_caller_hangs_up_while_it_rings(
    harness: SingleCall,
) -> None:
    await harness.apply(EventKind.RINGING)
    await harness.apply(EventKind.HUNG_UP)
    await harness.pass_time(0)
    assert ROOM not in harness.fake.rooms


async def test_a_call_that_no_agent_joins_ends_and_its_room_is_deleted(harness: SingleCall) -> None:
    await harness.apply(EventKind.RINGING)
    await harness.pass_time(10)
    assert (await harness.call).is_active
    await harness.pass_time(0.1)
    assert (await harness.call).disconnection_reason is DisconnectionReason.NO_AGENT
    # Without the room LiveKit answers the caller's INVITE with 486.
    assert ROOM not in harness.fake.rooms


async def test_an_agent_whose_webhook_was_lost_is_seen_in_the_room(harness: SingleCall) -> None:
    harness.fake.add_participant(ROOM, ParticipantInfo.Kind.AGENT, "agent-AJ_1")
    await harness.pass_time(10.1)
    await harness.pass_time(1)
    call = await harness.call
    assert call.is_active
    assert [entry.event for entry in call.timeline].count(EventKind.AGENT_JOINED) == 1
    assert len(harness.fake.requested(ListParticipantsRequest)) == 1


async def test_while_livekit_is_unavailable_no_agent_counts_as_missing(harness: SingleCall) -> None:
    harness.fake.failures.extend([TwirpError(503, "unavailable", "no nodes")] * 50)
    await harness.pass_time(10.1)
    assert (await harness.call).is_active
    harness.fake.failures.clear()
    await harness.pass_time(1)
    assert (await harness.call).disconnection_reason is DisconnectionReason.NO_AGENT


async def test_an_answered_call_has_no_deadline_for_its_agent(harness: SingleCall) -> None:
    await harness.apply(EventKind.ANSWERED)
    await harness.pass_time(10.1)
    assert (await harness.call).is_active


async def test_a_transfer_without_a_reported_outcome_ends_the_call(harness: SingleCall) -> None:
    await harness.start_transfer()
    await harness.pass_time(40)
    assert (await harness.call).is_active
    await harness.pass_time(0.1)
    call = await harness.call
    assert call.disconnection_reason is DisconnectionReason.CALL_TRANSFER
    assert call.transfer
    assert call.transfer.sip is None


async def test_an_agent_that_leaves_during_a_transfer_does_not_end_the_call(
    harness: SingleCall,
) -> None:
    await harness.start_transfer()
    await harness.webhook(EventKind.CALLER_LEFT, DisconnectionReason.USER_HANGUP)
    await harness.webhook(EventKind.AGENT_LEFT, DisconnectionReason.AGENT_HANGUP)
    await harness.pass_time(10)
    await harness.webhook(EventKind.ROOM_FINISHED)
    assert (await harness.call).is_active
    failed = Event(EventKind.TRANSFER_ENDED, harness.now)
    await harness.services.lifecycle.apply(ROOM, failed)
    await harness.pass_time(1)
    # The agent has left too.
    assert not (await harness.call).is_active


async def test_a_call_ends_at_its_maximum_duration(harness: SingleCall) -> None:
    await harness.apply(EventKind.ANSWERED)
    await harness.pass_time(100)
    assert (await harness.call).is_active
    await harness.pass_time(0.1)
    assert (await harness.call).disconnection_reason is DisconnectionReason.MAX_DURATION_REACHED
    assert ROOM not in harness.fake.rooms


@pytest.mark.parametrize(
    "reason", [DisconnectionReason.AGENT_ERROR, DisconnectionReason.AGENT_HANGUP]
)
async def test_a_call_ends_when_its_agent_has_left(
    harness: SingleCall, reason: DisconnectionReason
) -> None:
    await harness.apply(EventKind.ANSWERED)
    await harness.webhook(EventKind.AGENT_LEFT, reason)
    await harness.pass_time(1)
    assert (await harness.call).is_active
    await harness.pass_time(1)
    assert (await harness.call).disconnection_reason is reason
    assert ROOM not in harness.fake.rooms


async def test_an_agent_whose_process_died_does_not_count_though_it_is_in_the_room(
    harness: SingleCall,
) -> None:
    agent = ParticipantInfo(kind=ParticipantInfo.Kind.AGENT, identity="agent-AJ_1")
    harness.fake.participants[ROOM] = [agent]
    await harness.apply(EventKind.ANSWERED)
    gone = Event(EventKind.AGENT_GONE, harness.now, ids={"job_id": "AJ_1"})
    await harness.services.lifecycle.apply(ROOM, gone)
    await harness.pass_time(2)
    assert (await harness.call).disconnection_reason is DisconnectionReason.AGENT_ERROR


async def test_a_call_goes_on_when_its_agent_rejoins(harness: SingleCall) -> None:
    await harness.webhook(EventKind.AGENT_LEFT, DisconnectionReason.AGENT_ERROR)
    await harness.webhook(EventKind.AGENT_JOINED)
    await harness.pass_time(5)
    assert (await harness.call).is_active


async def test_a_call_goes_on_with_another_agent_in_the_room(harness: SingleCall) -> None:
    harness.fake.participants[ROOM] = [ParticipantInfo(kind=ParticipantInfo.Kind.AGENT)]
    await harness.webhook(EventKind.AGENT_LEFT, DisconnectionReason.AGENT_HANGUP)
    await harness.pass_time(5)
    assert (await harness.call).is_active


async def test_the_reason_of_a_caller_who_hangs_up_with_the_agent_is_user_hangup(
    harness: SingleCall,
) -> None:
    await harness.apply(EventKind.ANSWERED)
    await harness.webhook(EventKind.AGENT_LEFT, DisconnectionReason.AGENT_HANGUP)
    await harness.webhook(EventKind.CALLER_LEFT, DisconnectionReason.USER_HANGUP)
    await harness.pass_time(5)
    assert (await harness.call).disconnection_reason is DisconnectionReason.USER_HANGUP


async def test_a_repeated_webhook_is_applied_once(harness: SingleCall) -> None:
    for _ in range(3):
        await harness.webhook(EventKind.CALLER_JOINED, event_id="EV_1")
    assert [e.event for e in (await harness.call).timeline] == [EventKind.CALLER_JOINED]


async def test_a_call_without_a_room_ends_also_without_a_webhook(harness: SingleCall) -> None:
    await harness.apply(EventKind.ANSWERED)
    del harness.fake.rooms[ROOM]
    await harness.services.deadline_loop.reconcile()
    assert (await harness.call).is_active, "a room may take a moment to be listed"
    harness.now += 10_001
    await harness.services.deadline_loop.reconcile()
    assert (await harness.call).is_active, "LiveKit is asked once more"
    harness.now += 10_000
    await harness.services.deadline_loop.reconcile()
    assert not (await harness.call).is_active


async def test_a_call_whose_room_exists_goes_on(harness: SingleCall) -> None:
    harness.now += 20_000
    await harness.services.deadline_loop.reconcile()
    assert (await harness.call).is_active


async def test_reconciling_ends_nothing_when_livekit_refuses(harness: SingleCall) -> None:
    harness.now += 20_000
    harness.fake.failures.extend([TwirpError(400, "malformed", "no")])
    await harness.services.deadline_loop.reconcile()
    assert (await harness.call).is_active


async def test_deleting_a_room_is_retried(harness: SingleCall) -> None:
    await harness.apply(EventKind.AGENT_FAILED)
    harness.fake.failures.append(TwirpError(400, "malformed", "no"))
    await harness.pass_time(1)
    assert ROOM in harness.fake.rooms
    await harness.pass_time(1)
    assert ROOM not in harness.fake.rooms


async def test_after_a_hangup_the_room_stays_for_the_agent_for_a_moment(
    harness: SingleCall,
) -> None:
    await harness.apply(EventKind.ANSWERED)
    await harness.apply(EventKind.HUNG_UP)
    await harness.pass_time(1)
    assert ROOM in harness.fake.rooms
    await harness.pass_time(5)
    assert ROOM not in harness.fake.rooms


async def test_while_livekit_is_unavailable_few_calls_are_checked(harness: SingleCall) -> None:
    for number in range(100):
        call = Call(f"call-due-{number}", Direction.INBOUND, "agent", START)
        await harness.services.lifecycle.register(call)
    harness.fake.failures.extend([TwirpError(503, "unavailable", "no nodes")] * 2000)
    await harness.pass_time(10.1)
    checked = {request.room for request in harness.fake.requested(ListParticipantsRequest)}
    # Each of them takes the whole timeout; on a busy machine not even all of these begin.
    assert 1 <= len(checked) <= MAX_CONCURRENT_CHECKS


async def test_while_livekit_is_unavailable_few_rooms_are_tried(harness: SingleCall) -> None:
    for number in range(100):
        harness.services.room_cleanup.schedule(f"room-{number}", grace_ms=0)
    harness.fake.failures.extend([TwirpError(503, "unavailable", "no nodes")] * 2000)
    await harness.pass_time(0)
    tried = {request.room for request in harness.fake.requested(DeleteRoomRequest)}
    assert 1 <= len(tried) <= MAX_CONCURRENT_DELETIONS
    harness.fake.failures.clear()
    await harness.pass_time(0)
    tried = {request.room for request in harness.fake.requested(DeleteRoomRequest)}
    assert len(tried) == 100


async def test_rooms_are_deleted_also_while_storage_is_unavailable(
    harness: SingleCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(now: int) -> NoReturn:
        raise StorageUnavailable("no answer")

    monkeypatch.setattr(harness.services.storage.registry, "due", unavailable)
    harness.services.room_cleanup.schedule(ROOM, grace_ms=0)
    with pytest.raises(StorageUnavailable):
        await harness.pass_time(1)
    assert ROOM not in harness.fake.rooms


async def test_a_write_that_always_fails_does_not_block_those_behind_it() -> None:
    deferred = DeferredWrites()
    done: list[str] = []

    async def unavailable_at_first() -> None:
        if not done:
            done.append("unavailable")
            raise StorageUnavailable("no answer")
        done.append("retried")

    async def defective() -> NoReturn:
        raise KeyError("a defect")

    async def next_write() -> None:
        done.append("next")

    for write in (unavailable_at_first, defective, next_write):
        await deferred.write(ROOM, write)
    await deferred.replay()
    assert done == ["unavailable", "retried", "next"]
    assert not deferred


async def test_slow_reconciling_delays_no_deadline(
    harness: SingleCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciling, ended = asyncio.Event(), asyncio.Event()

    async def reconcile() -> NoReturn:
        reconciling.set()
        await ended.wait()
        raise KeyError("a defect")

    monkeypatch.setattr(harness.services.reconciler, "reconcile", reconcile)
    await harness.apply(EventKind.ANSWERED)
    running = asyncio.create_task(harness.services.deadline_loop.run())
    try:
        async with asyncio.timeout(10):
            harness.now += 50_000
            await reconciling.wait()
            harness.now += 60_000
            while ROOM in harness.fake.rooms:
                await asyncio.sleep(0.01)
            reconciling.clear()
            ended.set()
            await reconciling.wait()  # a defect does not end the loop
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (await harness.call).disconnection_reason is DisconnectionReason.MAX_DURATION_REACHED


async def test_a_gateway_that_replays_deferred_writes_does_not_acquire_the_leader_lock(
    harness: SingleCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []
    go_on, acquire = asyncio.Event(), SingleNode.acquire

    async def recorded_acquire(lock: SingleNode) -> bool:
        attempts.append("acquire")
        return await acquire(lock)

    monkeypatch.setattr(SingleNode, "acquire", recorded_acquire)
    harness.services.lifecycle.defer("call-2", lambda _: pytest.fail("there is no such call"))
    get = harness.services.storage.registry.get

    async def slow_get(call_id: str) -> Call | None:
        await go_on.wait()
        return await get(call_id)

    monkeypatch.setattr(harness.services.storage.registry, "get", slow_get)
    running = asyncio.create_task(harness.services.deadline_loop.run())
    try:
        async with asyncio.timeout(10):
            harness.now += 3_600_000
            for _ in range(6):
                await asyncio.sleep(0.05)  # monitor.interval: it checks whether to reconcile
            assert not attempts
            go_on.set()
            while not attempts:
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_deferred_writes_that_do_not_end_keep_no_other_call_from_ending(
    harness: SingleCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline_loop, "REPLAY_LIMIT", 0.01)
    deferred, reconciled = harness.services.deferred, asyncio.Event()

    async def write() -> None:
        """Another one comes meanwhile."""
        await asyncio.sleep(0.001)
        deferred.defer("call-2", write)

    async def reconcile() -> None:
        reconciled.set()

    monkeypatch.setattr(harness.services.reconciler, "reconcile", reconcile)
    await harness.apply(EventKind.ANSWERED)
    deferred.defer("call-2", write)
    running = asyncio.create_task(harness.services.deadline_loop.run())
    try:
        async with asyncio.timeout(10):
            harness.now += 3_600_000
            while (await harness.call).is_active:
                await asyncio.sleep(0.01)
            await reconciled.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (await harness.call).disconnection_reason is DisconnectionReason.MAX_DURATION_REACHED
    assert "call-2" in deferred


@pytest.mark.parametrize("prepared", [False, True])
async def test_a_call_whose_registration_was_not_confirmed_gets_the_fallback(
    harness: SingleCall, monkeypatch: pytest.MonkeyPatch, prepared: bool
) -> None:
    registry = harness.services.storage.registry
    add = registry.add

    async def add_without_response(call: Call, limits: ActiveLimits, *, replaces: str) -> NoReturn:
        await add(call, limits, replaces=replaces)
        raise StorageUnavailable("no answer in time")

    monkeypatch.setattr(registry, "add", add_without_response)
    (verb,) = await harness.services.inbound.on_call(
        CallHook("sid-2", "+15550100", "+15550199", "")
    )
    assert (verb["verb"], verb["status"]) == ("sip:decline", 503)
    call = await registry.find_by_call_sid("sid-2")
    assert call
    if prepared:  # by another gateway, which got the repeated hook
        room = Event(EventKind.ROOM_CREATED, harness.now, ids={"room_sid": "RM_2"})
        await registry.apply(call.call_id, room)
    await harness.pass_time(1)
    call = await registry.find_by_call_sid("sid-2")
    assert call
    assert call.is_active == prepared
    assert call.disconnection_reason == (None if prepared else DisconnectionReason.DIAL_FAILED)
