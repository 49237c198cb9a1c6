"""Announced transfers with a real livekit-sip: a caller leaves their agent, and may come back."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import api

from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import DEPARTURE_TIMEOUT
from gateway.tools.simulate.caller import Caller, tone
from tests.sip.conftest import call_when, ended_call, wait_until_empty
from tests.sip.servers import Telephony
from tests.sip.telephone import Telephone
from tests.sip.test_transfer import TARGET, InboundTalk, inbound_talk, transfer

SUMMARY = "Anna Example wants to move her appointment."
CALLER = "sip_+15550100"
FALLBACK = "+15550107"


@asynccontextmanager
async def patient_agent(telephony: Telephony, room: str) -> AsyncIterator[None]:
    """An agent that speaks, and stays while its caller is away; the diagnostic one leaves then."""
    settings = telephony.real.config.livekit
    token = api.AccessToken(settings.api_key, settings.api_secret).with_kind("agent")
    grants = api.VideoGrants(room_join=True, room=room, agent=True)
    jwt = token.with_identity("agent-AJ_patient").with_grants(grants).to_jwt()
    async with Caller.joined(settings.url, jwt) as agent:
        await agent.speak(tone())
        yield


async def announced(talk: InboundTalk, gateway: aiohttp.ClientSession) -> tuple[Any, Any]:
    """Have the caller leave for a target, who answers: the dial to them, and what they hear."""
    body = {"target": TARGET, "kind": "announced", "summary": SUMMARY}
    request = asyncio.create_task(transfer(gateway, talk.call_id, **body))
    dial, _ = await talk.follows_refer()
    status, call = await request
    assert (status, call["transfer"]["kind"]) == (200, "announced"), call
    hook = talk.dial["actionHook"]
    assert await talk.jambonz.dial_ends(hook, "in-progress", "completed", 200) == []
    talk.jambonz.far_sid = str(uuid.uuid4())
    await talk.jambonz.far_status("in-progress")
    gather, _ = await talk.jambonz.confirms(dial["confirmHook"])
    assert gather["say"]["text"].startswith(SUMMARY)
    return dial, gather


async def caller_leg(livekit: LiveKit, room: str) -> Any:
    """The caller's participant, once it is in the room."""
    async with asyncio.timeout(10):
        while True:
            for participant in await livekit.participants(room):
                if participant.identity == CALLER:
                    return participant
            await asyncio.sleep(0.05)


async def test_a_caller_whose_target_declines_is_back_with_the_agent(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    async with (
        inbound_talk(
            telephony, room_gateway, tmp_path / "first", refer_response="202 Accepted"
        ) as talk,
        patient_agent(telephony, talk.call_id),
    ):
        call_id, jambonz = talk.call_id, talk.jambonz
        first = await caller_leg(livekit, call_id)
        dial, gather = await announced(talk, room_gateway)
        # LiveKit closes a room in which only agents are after its departure_timeout.
        await asyncio.sleep(DEPARTURE_TIMEOUT + 3)
        assert await jambonz.presses(gather["actionHook"], "2") == [{"verb": "hangup"}]
        (again,) = await jambonz.dial_ends(dial["actionHook"], "in-progress", "in-progress", 200)
        assert again["target"] == talk.dial["target"]
        reason = f"X-Transfer-Reason: {again['headers']['X-Transfer-Reason']}"
        async with Telephone.at(telephony.carrier_address) as phone:
            variables = {"user": call_id, "audio_port": str(phone.port), "header": reason}
            async with telephony.caller("call", tmp_path / "second", **variables) as caller:
                await caller.message("SIP/2.0 200 ")
                await phone.greeted()
                second = await caller_leg(livekit, call_id)
                assert second.attributes["sip.callID"] != first.attributes["sip.callID"]
                assert second.attributes["sip.h.x-transfer-reason"] == "user_declined"
                # The diagnostic agent is gone, and the other one has taken its place.
                call = await call_when(
                    room_gateway,
                    call_id,
                    lambda call: call["caller"]["sip_call_id"] == second.attributes["sip.callID"],
                )
                assert (call["call_status"], call["transfer"]["reason"]) == (
                    "ongoing",
                    "user_declined",
                )
                await asyncio.sleep(3)  # an end by anybody's absence would come 2 s after it
                call = await call_when(room_gateway, call_id, lambda call: call["call_status"])
                assert call["call_status"] == "ongoing", call["timeline"]
                caller.send_info()
                await caller.finished()
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


async def test_a_caller_whose_target_accepts_leaves_the_agent(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    async with (
        inbound_talk(telephony, room_gateway, tmp_path, refer_response="202 Accepted") as talk,
        patient_agent(telephony, talk.call_id),
    ):
        _, gather = await announced(talk, room_gateway)
        (pause,) = await talk.jambonz.presses(gather["actionHook"], "1")
        assert pause["verb"] == "pause"
        call = await ended_call(room_gateway, talk.call_id)
        assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
        await wait_until_empty(livekit, talk.call_id)


@pytest.mark.parametrize("key", ["", "2"])
async def test_a_caller_whose_agent_has_left_gets_the_fallback(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path, key: str
) -> None:
    async with inbound_talk(
        telephony, room_gateway, tmp_path, refer_response="202 Accepted"
    ) as talk:
        dial, gather = await announced(talk, room_gateway)
        await call_when(
            room_gateway,
            talk.call_id,
            lambda call: "agent_left" in [entry["event"] for entry in call["timeline"]],
        )
        await talk.jambonz.presses(gather["actionHook"], key)
        hook = dial["actionHook"]
        verbs = await talk.jambonz.dial_ends(hook, "in-progress", "in-progress", 200)
    assert verbs[0]["target"] == [{"type": "phone", "number": FALLBACK, "trunk": "my-carrier"}]
    call = await ended_call(room_gateway, talk.call_id)
    assert call["disconnection_reason"] == "call_transfer"
    assert call["transfer"]["reason"] == ("user_declined" if key else "dial_no_answer")
