"""The gateway is killed while calls go on, on real parts: they go on, and so does what is known."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.tools.simulate.caller import Caller, sip_token
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import READ_KEY, WEBHOOK_SECRET
from tests.fakes.receiver import Receiver
from tests.livekit.conftest import Real, call_once, killed, real_parts
from tests.livekit.test_whole_path import livekit_of, room_is_gone

DEADLINE = 30.0
#: What is known of a call again as it was.
KEPT = ("from_number", "to_number", "agent_name", "metadata", "jambonz", "start_timestamp")


@pytest.fixture
async def listening(livekit_binary: Path) -> AsyncIterator[tuple[Real, Receiver]]:
    async with Receiver().serving() as receiver:
        callbacks = {
            "GATEWAY__CALLBACKS__URLS": receiver.url,
            "GATEWAY__CALLBACKS__ALLOWED_HOSTS": "127.0.0.1",
        }
        with real_parts(**callbacks) as real:
            yield real, receiver


@asynccontextmanager
async def talking(
    real: Real, http: aiohttp.ClientSession, number: str
) -> AsyncIterator[tuple[str, Jambonz]]:
    """A call that goes on, by its id; its caller hangs up at the end."""
    jambonz = Jambonz(http, real.url, WEBHOOK_SECRET, number, "+15550199")
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    token = sip_token(real.config, call_id, number)
    async with Caller.joined(real.config.livekit.url, token) as caller:
        await asyncio.wait_for(caller.agent_audio(), DEADLINE)
        await jambonz.status("in-progress")
        yield call_id, jambonz


async def test_a_killed_gateway_knows_its_calls_again(
    listening: tuple[Real, Receiver], http: aiohttp.ClientSession
) -> None:
    real, receiver = listening
    async with (
        talking(real, http, "+15550100") as (hooked, jambonz),
        talking(real, http, "+15550101") as (unhooked, _),
        talking(real, http, "+15550102") as (over, _),
    ):
        before = {
            call_id: await ongoing(real, http, call_id, limit=DEADLINE)
            for call_id in (hooked, unhooked)
        }
        with killed(real) as start:
            await end_room(real, over)
            await asyncio.to_thread(start)
            for call_id, call in before.items():
                # It asks LiveKit what there is before it listens.
                again = await ongoing(real, http, call_id, limit=0)
                assert {name: again[name] for name in KEPT} == {name: call[name] for name in KEPT}
                assert again["livekit"]["room_sid"] == call["livekit"]["room_sid"]
            # A webhook that LiveKit could not deliver may bring `over` back, but not for long.
            assert await active(real, http, until=set(before)) == set(before)
            await jambonz.status("completed", terminated_by="caller")
            assert await ended(real, http, hooked) == ("ended", "user_hangup")
            await remove_participant(real, unhooked)
            assert await ended(real, http, unhooked) == ("ended", "agent_hangup")
            for call_id in before:
                await told_the_end(receiver, call_id)
                assert await room_is_gone(real, call_id)


async def ongoing(real: Real, http: aiohttp.ClientSession, call_id: str, *, limit: float) -> Any:
    """The call, which is `ongoing`, or becomes so in `limit` s."""
    url = f"{real.url}/livekit-api/calls/{call_id}"
    call = await call_once(
        http, url, lambda c: c.get("call_status") == "ongoing", limit=limit, key=READ_KEY
    )
    assert call.get("call_status") == "ongoing", call
    return call


async def ended(real: Real, http: aiohttp.ClientSession, call_id: str) -> tuple[str, str]:
    url = f"{real.url}/livekit-api/calls/{call_id}"
    call = await call_once(http, url, lambda c: c["end_timestamp"], limit=DEADLINE, key=READ_KEY)
    return call["call_status"], call["disconnection_reason"]


async def active(real: Real, http: aiohttp.ClientSession, *, until: set[str]) -> set[str]:
    """The ids of the active calls, once they are those, or after some time."""
    listed = await call_once(
        http,
        f"{real.url}/livekit-api/calls",
        lambda c: ids(c) == until,
        limit=DEADLINE,
        key=READ_KEY,
    )
    return ids(listed)


def ids(listed: Any) -> set[str]:
    return {call["call_id"] for call in listed["calls"]}


async def end_room(real: Real, room: str) -> None:
    async with livekit_of(real) as livekit:
        await livekit.delete_room(room)
    assert await room_is_gone(real, room)


async def remove_participant(real: Real, room: str) -> None:
    """Hang up as the agent's side does; no hook of Jambonz's tells of it."""
    async with livekit_of(real) as livekit:
        (leg,) = (await livekit.room_participants(room)).sip
        await livekit.remove_participant(room, leg.identity)


async def told_the_end(receiver: Receiver, call_id: str) -> None:
    """Wait until the callback has come."""
    async with asyncio.timeout(DEADLINE):
        while (call_id, "call_ended") not in {
            (body["call"]["call_id"], body["event"]) for body in receiver.bodies
        }:
            await asyncio.sleep(0.05)
