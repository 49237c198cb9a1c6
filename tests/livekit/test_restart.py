"""The gateway is killed during calls with real servers: they go on, and it restores them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.tools.simulate.caller import RULE_ID, Caller, sip_token
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import READ_KEY, WEBHOOK_SECRET
from tests.fakes.receiver import Receiver
from tests.livekit.conftest import RealServers, gateway_killed, real_servers, wait_for_call
from tests.livekit.test_whole_path import livekit_of, room_is_gone

LIMIT = 30.0
#: Fields that a restored call has as before.
RESTORED = ("from_number", "to_number", "agent_name", "metadata", "jambonz", "start_timestamp")


@pytest.fixture
async def with_receiver(livekit_binary: Path) -> AsyncIterator[tuple[RealServers, Receiver]]:
    async with Receiver().serving() as receiver:
        callbacks = {
            "GATEWAY__CALLBACKS__URLS": receiver.url,
            "GATEWAY__CALLBACKS__ALLOWED_HOSTS": "127.0.0.1",
        }
        with real_servers(**callbacks) as real:
            yield real, receiver


@asynccontextmanager
async def conversation(
    real: RealServers, http: aiohttp.ClientSession, number: str
) -> AsyncIterator[tuple[str, Jambonz]]:
    """A call whose caller and agent talk: its id, and Jambonz. The caller then hangs up."""
    jambonz = Jambonz(http, real.url, WEBHOOK_SECRET, number, "+15550199")
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    token = sip_token(real.config, call_id, number, rule_id=RULE_ID)
    async with Caller.joined(real.config.livekit.url, token) as caller:
        await asyncio.wait_for(caller.agent_audio(), LIMIT)
        await jambonz.status("in-progress")
        yield call_id, jambonz


async def test_calls_are_restored_after_the_gateway_was_killed(
    with_receiver: tuple[RealServers, Receiver], http: aiohttp.ClientSession
) -> None:
    real, receiver = with_receiver
    async with (
        conversation(real, http, "+15550100") as (first, jambonz),
        conversation(real, http, "+15550101") as (second, _),
        conversation(real, http, "+15550102") as (third, _),
    ):
        before = {
            call_id: await ongoing(real, http, call_id, limit=LIMIT) for call_id in (first, second)
        }
        with gateway_killed(real) as start:
            await delete_room(real, third)
            await asyncio.to_thread(start)
            for call_id, call in before.items():
                # The gateway restores calls from LiveKit's rooms before it listens.
                restored = await ongoing(real, http, call_id, limit=0)
                assert {name: restored[name] for name in RESTORED} == {
                    name: call[name] for name in RESTORED
                }
                assert restored["livekit"]["room_sid"] == call["livekit"]["room_sid"]
            # A webhook that LiveKit repeats may restore the third call, but not for long.
            assert await active(real, http, until=set(before)) == set(before)
            await jambonz.status("completed", terminated_by="caller")
            assert await ended(real, http, first) == ("ended", "user_hangup")
            await remove_caller(real, second)
            assert await ended(real, http, second) == ("ended", "agent_hangup")
            for call_id in before:
                await wait_for_call_ended(receiver, call_id)
                assert await room_is_gone(real, call_id)


async def ongoing(
    real: RealServers, http: aiohttp.ClientSession, call_id: str, *, limit: float
) -> Any:
    """The call, which is `ongoing`, or becomes that within `limit` s."""
    url = f"{real.url}/livekit-api/calls/{call_id}"
    call = await wait_for_call(
        http, url, lambda c: c.get("call_status") == "ongoing", limit=limit, key=READ_KEY
    )
    assert call.get("call_status") == "ongoing", call
    return call


async def ended(real: RealServers, http: aiohttp.ClientSession, call_id: str) -> tuple[str, str]:
    url = f"{real.url}/livekit-api/calls/{call_id}"
    call = await wait_for_call(http, url, lambda c: c["end_timestamp"], limit=LIMIT, key=READ_KEY)
    return call["call_status"], call["disconnection_reason"]


async def active(real: RealServers, http: aiohttp.ClientSession, *, until: set[str]) -> set[str]:
    """The ids of the active calls, once they are those of `until`, or after some time."""
    page = await wait_for_call(
        http,
        f"{real.url}/livekit-api/calls",
        lambda c: ids(c) == until,
        limit=LIMIT,
        key=READ_KEY,
    )
    return ids(page)


def ids(page: Any) -> set[str]:
    return {call["call_id"] for call in page["calls"]}


async def delete_room(real: RealServers, room: str) -> None:
    async with livekit_of(real) as livekit:
        await livekit.delete_room(room)
    assert await room_is_gone(real, room)


async def remove_caller(real: RealServers, room: str) -> None:
    """As an agent that hangs up; Jambonz sends no hook."""
    async with livekit_of(real) as livekit:
        (leg,) = (await livekit.room_participants(room)).sip
        await livekit.remove_participant(room, leg.identity)


async def wait_for_call_ended(receiver: Receiver, call_id: str) -> None:
    """Wait until the callback has arrived."""
    async with asyncio.timeout(LIMIT):
        while (call_id, "call_ended") not in {
            (body["call"]["call_id"], body["event"]) for body in receiver.bodies
        }:
            await asyncio.sleep(0.05)
