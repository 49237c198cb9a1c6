"""Who the agent's caller is, and when they have left; the room is a double without a connection."""

import asyncio
from typing import cast

import pytest
from livekit import rtc

from agent import room as module
from agent.context import CallContext
from agent.room import CALLER_LEFT, ROOM_ENDED, answered_caller, caller_in, departure, has_company
from tests.fakes.agent_room import SIP, Person, Room

AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
STANDARD = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
BY_RULE = {"sip.ruleID": "SDR_1", "sip.callStatus": "active"}
INBOUND = CallContext(direction="inbound")


def leaving(room: Room, call: CallContext = INBOUND) -> "asyncio.Task[str]":
    return asyncio.create_task(departure(cast(rtc.Room, room), call))


async def settled() -> None:
    """Let the tasks run until they wait for the next event."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.field("A1")
async def test_a_colleague_who_leaves_is_not_the_caller() -> None:
    room = Room(Person("colleague"), Person("caller", SIP, BY_RULE))
    outcome = leaving(room)
    await settled()
    room.leaves("colleague")
    await settled()
    assert not outcome.done()
    room.leaves("caller")
    assert await outcome == CALLER_LEFT


@pytest.mark.field("A1")
async def test_whom_the_gateway_dialed_is_the_caller() -> None:
    room = Room(Person("stranger", SIP, BY_RULE), Person("recorder", AGENT))
    call = CallContext(direction="outbound", caller_identity="callee")
    assert caller_in(cast(rtc.Room, room), call) is None
    answered = asyncio.create_task(answered_caller(cast(rtc.Room, room), call))
    await settled()
    assert not answered.done()
    room.joins(Person("callee", attributes={"sip.callStatus": "active"}))
    assert (await answered).identity == "callee"


@pytest.mark.field("A2")
def test_software_is_no_company() -> None:
    caller, recorder = Person("caller", SIP, BY_RULE), Person("recorder", AGENT)
    assert not has_company(cast(rtc.Room, Room(caller, recorder)), INBOUND)
    assert has_company(cast(rtc.Room, Room(caller, Person("colleague"))), INBOUND)


async def test_a_browser_may_call_where_no_telephone_does() -> None:
    room = Room(Person("recorder", AGENT), Person("ann", STANDARD))
    caller = caller_in(cast(rtc.Room, room), CallContext())
    assert caller
    assert caller.identity == "ann"


@pytest.mark.field("A4")
async def test_a_caller_whose_connection_broke_may_come_back() -> None:
    room = Room(Person("caller", SIP, BY_RULE))
    outcome = leaving(room)
    await settled()
    room.leaves("caller", rtc.DisconnectReason.DUPLICATE_IDENTITY)
    room.joins(Person("caller", SIP, BY_RULE))
    await settled()
    assert not outcome.done()
    room.leaves("caller")
    assert await outcome == CALLER_LEFT


@pytest.mark.field("A8")
async def test_a_caller_who_does_not_come_back_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETURN_TIMEOUT", 0.01)
    room = Room(Person("caller", SIP, BY_RULE))
    outcome = leaving(room)
    await settled()
    room.leaves("caller", rtc.DisconnectReason.CONNECTION_TIMEOUT)
    assert await outcome == CALLER_LEFT


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_room_that_ends(is_there: bool) -> None:
    room = Room(*([Person("caller", SIP, BY_RULE)] if is_there else []))
    outcome = leaving(room)
    await settled()
    room.end()
    assert await outcome == ROOM_ENDED
