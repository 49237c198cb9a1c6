"""Servers that die during a call: what has ended is told apart from what goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from tests.conftest import DISPATCH_KEY
from tests.livekit.conftest import wait_for_call
from tests.sip.conftest import call_when, client_of, ended_call
from tests.sip.servers import Telephony
from tests.sip.sipp import Sipp
from tests.sip.telephone import Telephone
from tests.sip.test_inbound import jambonz_for

#: How long LiveKit takes to notice that livekit-sip has died, in s: 20 (livekit-server 1.13.5).
LOST_LIMIT = 45.0


@asynccontextmanager
async def talk(
    telephony: Telephony, folder: Path
) -> AsyncIterator[tuple[aiohttp.ClientSession, str, Sipp, Telephone]]:
    """A client of the gateway, and a call whose caller and agent talk."""
    async with (
        client_of(telephony.real.url) as gateway,
        Telephone.at(telephony.carrier_address) as phone,
    ):
        jambonz = jambonz_for(telephony, gateway)
        (dial,) = await jambonz.call_arrives()
        call_id = dial["headers"]["X-Call-Id"]
        variables = {"user": call_id, "audio_port": str(phone.port)}
        async with telephony.caller("call", folder, **variables) as caller:
            await caller.message("SIP/2.0 200 ")
            await phone.greeted()
            await jambonz.status("in-progress")
            await phone.echoed()
            yield gateway, call_id, caller, phone


async def show(gateway: aiohttp.ClientSession, call_id: str) -> Any:
    return await call_when(gateway, call_id, lambda call: True)


def in_words(call: Any) -> str:
    """The call's timeline, for a failing test."""
    lines = (f"{it['at']} {it['event']} {it['detail']}" for it in call["timeline"])
    return "\n".join([f"{call['call_status']} {call['disconnection_reason']}", *lines])


@pytest.mark.field("A8")
async def test_a_leg_lost_with_livekit_sip_was_not_hung_up(
    single_gateway: Telephony, tmp_path: Path
) -> None:
    async with talk(single_gateway, tmp_path) as (gateway, call_id, _, _):
        single_gateway.livekit_sip.kill()
        url = f"/livekit-api/calls/{call_id}"
        call = await wait_for_call(
            gateway, url, lambda call: call["end_timestamp"], limit=LOST_LIMIT, key=DISPATCH_KEY
        )
    outcome = (call["call_status"], call["disconnection_reason"])
    assert outcome == ("error", "connection_lost"), in_words(call)


@pytest.mark.field("D3")
async def test_people_talk_on_when_livekits_redis_has_lost_its_data(
    single_gateway: Telephony, tmp_path: Path
) -> None:
    async with talk(single_gateway, tmp_path) as (gateway, call_id, caller, phone):
        redis: Redis = Redis.from_url(f"redis://{single_gateway.redis}")
        await redis.flushall()
        await redis.aclose()
        await asyncio.sleep(50)  # the gateway compares calls with rooms every 15 s
        await phone.echoed()
        call = await show(gateway, call_id)
        assert call["call_status"] == "ongoing", in_words(call)
        caller.send_info()
        await caller.finished()
        call = await ended_call(gateway, call_id)
        assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
        assert call["duration_ms"] > 50_000


@pytest.mark.field("D4")
async def test_a_call_outlives_a_restart_of_livekit(
    single_gateway: Telephony, tmp_path: Path
) -> None:
    async with talk(single_gateway, tmp_path) as (gateway, call_id, caller, phone):
        single_gateway.livekit_server.kill()
        await asyncio.sleep(3)
        await asyncio.to_thread(single_gateway.start_livekit)
        await asyncio.sleep(20)
        call = await show(gateway, call_id)
        assert call["call_status"] == "ongoing", in_words(call)
        async with single_gateway.livekit() as livekit:
            participants = await livekit.room_participants(call_id)
        assert participants.has_agent()
        assert len(participants.sip) == 1
        del phone.received[:]
        await phone.echoed()
        caller.send_info()
        await caller.finished()
        call = await ended_call(gateway, call_id)
        assert call["call_status"] == "ended", in_words(call)
