"""Agents that bring a colleague into the caller's room, by real INVITEs of a real livekit-sip."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import api

from gateway.livekit.client import LiveKit
from tests.sip.conftest import call_when, ended_call, wait_until_empty
from tests.sip.servers import Telephony
from tests.sip.sipp import Sipp
from tests.sip.telephone import RATE, Telephone
from tests.sip.test_inbound import jambonz_for
from tests.sip.test_transfer import transfer

COLLEAGUE = "+61491570156"
IDENTITY = "colleague"


@asynccontextmanager
async def talk(
    telephony: Telephony, gateway: aiohttp.ClientSession, folder: Path
) -> AsyncIterator[tuple[str, Sipp, Telephone]]:
    """A caller who talks to the agent: the call's id, the caller's SIP side and telephone.

    Jambonz's hook of the answer is lost: the agent reports it.
    """
    (dial,) = await jambonz_for(telephony, gateway).call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with Telephone.at(telephony.carrier_address) as phone:
        variables = {"user": call_id, "audio_port": str(phone.port)}
        async with telephony.caller("call", folder / "caller", **variables) as caller:
            await caller.message("SIP/2.0 200 ")
            await phone.greeted()
            call = await call_when(gateway, call_id, lambda call: call["answer_timestamp"])
            assert call["call_status"] == "ongoing"
            yield call_id, caller, phone


async def agent_dials(telephony: Telephony, room: str) -> None:
    """An agent dials its colleague into the caller's room. Raises api.SipCallError."""
    settings = telephony.real.config.livekit
    async with api.LiveKitAPI(settings.url, settings.api_key, settings.api_secret) as client:
        trunks = await client.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest())
        request = api.CreateSIPParticipantRequest(
            sip_trunk_id=trunks.items[0].sip_trunk_id,
            sip_call_to=COLLEAGUE,
            room_name=room,
            participant_identity=IDENTITY,
            wait_until_answered=True,
        )
        await client.sip.create_sip_participant(request)


async def agent_leaves(livekit: LiveKit, room: str) -> None:
    agents = [it for it in await livekit.participants(room) if it.kind == it.Kind.AGENT]
    for agent in agents:
        await livekit.remove_participant(room, agent.identity)


async def hears_the_other(phone: Telephone) -> None:
    """Wait until this telephone has heard a second of the other one's tone, and nothing else."""
    del phone.received[:]
    async with asyncio.timeout(20):
        while len(phone.received) < RATE:
            await asyncio.sleep(0.05)
    await phone.echoed()


def participant(call: Any, identity: str) -> Any:
    (found,) = [it for it in call["participants"] if it["identity"] == identity]
    return found


@pytest.mark.field("A1", "A2", "A6", "C4")
@pytest.mark.parametrize("first", ["caller", "colleague"])
async def test_caller_and_colleague_talk_on_when_the_agent_has_left(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    livekit: LiveKit,
    tmp_path: Path,
    first: str,
) -> None:
    async with (
        talk(telephony, room_gateway, tmp_path) as (call_id, caller, phone),
        Telephone.at(telephony.carrier_address) as colleagues_phone,
        telephony.callee(
            "answer", tmp_path / "colleague", audio_port=str(colleagues_phone.port)
        ) as colleague,
    ):
        before = await call_when(room_gateway, call_id, lambda call: call["caller"])
        await agent_dials(telephony, call_id)
        call = await call_when(
            room_gateway, call_id, lambda call: call["transfer"] and call["transfer"]["sip"]
        )
        assert call["transfer"]["kind"] == "warm"
        assert call["transfer"]["target"] == COLLEAGUE
        assert call["transfer"]["sip"] == {"status": 200, "reason": "OK"}
        assert call["caller"] == before["caller"]
        assert call["caller"]["identity"] == "sip_+15550100"
        assert call["livekit"]["sip_call_id"] == before["caller"]["sip_call_id"]
        assert participant(call, IDENTITY)["kind"] == "sip"
        await agent_leaves(livekit, call_id)
        handed_over = "agent_handed_over"
        call = await call_when(
            room_gateway,
            call_id,
            lambda call: handed_over in [entry["event"] for entry in call["timeline"]],
        )
        await hears_the_other(phone)
        await hears_the_other(colleagues_phone)
        call = await call_when(room_gateway, call_id, lambda call: call["call_status"])
        assert call["call_status"] == "ongoing", call["timeline"]
        leg, other = (caller, colleague) if first == "caller" else (colleague, caller)
        leg.send_info()
        await leg.finished()
        await other.message("BYE ")
    call = await ended_call(room_gateway, call_id)
    reason = "user_hangup" if first == "caller" else "call_transfer"
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", reason)
    await wait_until_empty(livekit, call_id)
    call = await call_when(
        room_gateway, call_id, lambda call: participant(call, IDENTITY)["left_at"]
    )
    assert call["duration_ms"] > 1000


@pytest.mark.field("A1")
async def test_the_caller_talks_on_to_the_agent_when_the_colleague_is_busy(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        talk(telephony, room_gateway, tmp_path) as (call_id, caller, phone),
        telephony.callee("reject", tmp_path / "colleague", status="486 Busy Here") as colleague,
    ):
        with pytest.raises(api.SipCallError) as error:
            await agent_dials(telephony, call_id)
        assert error.value.sip_status_code == 486
        await colleague.finished()
        call = await call_when(
            room_gateway,
            call_id,
            lambda call: call["transfer"] and call["transfer"]["ended_at"],
        )
        transfer = call["transfer"]
        assert (transfer["kind"], transfer["reason"]) == ("warm", "user_declined")
        assert transfer["sip"] is None, "LiveKit tells the status only who dialed"
        await phone.echoed()
        await asyncio.sleep(3)  # an end by the colleague's departure would come 2 s after it
        call = await call_when(room_gateway, call_id, lambda call: call["call_status"])
        assert call["call_status"] == "ongoing", call["timeline"]
        caller.send_info()
        await caller.finished()
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


async def test_the_gateway_dials_a_colleague_into_the_room(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        talk(telephony, room_gateway, tmp_path) as (call_id, caller, _),
        Telephone.at(telephony.carrier_address) as colleagues_phone,
        telephony.callee(
            "answer", tmp_path / "colleague", audio_port=str(colleagues_phone.port)
        ) as colleague,
    ):
        status, _ = await transfer(room_gateway, call_id, target=COLLEAGUE, kind="warm")
        assert status == 200
        call = await call_when(
            room_gateway, call_id, lambda call: call["transfer"] and call["transfer"]["sip"]
        )
        told = call["transfer"]
        assert (told["kind"], told["target"], told["sip"]["status"]) == ("warm", COLLEAGUE, 200)
        assert call["call_status"] == "ongoing"
        caller.send_info()
        await caller.finished()
        await colleague.message("BYE ")
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
