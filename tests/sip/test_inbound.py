"""Calls from Jambonz by real INVITEs to a real livekit-sip; SIPp is Jambonz's SIP side."""

import asyncio
import re
import uuid
from pathlib import Path

import aiohttp
import pytest

from gateway.livekit.client import LiveKit
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import WEBHOOK_SECRET
from tests.livekit.test_worker_faults import job_processes
from tests.sip.conftest import (
    LIMIT,
    call_when,
    ended_call,
    hang_up,
    wait_until_deleted,
    wait_until_empty,
)
from tests.sip.servers import Telephony
from tests.sip.telephone import Telephone


def jambonz_for(
    telephony: Telephony, gateway: aiohttp.ClientSession, to: str = "+15550199", **env_vars: str
) -> Jambonz:
    """Jambonz's webhooks for a call from +15550100 to the gateway with the strategy `room`."""
    url = telephony.real.url
    return Jambonz(gateway, url, WEBHOOK_SECRET, "+15550100", to, env_vars=env_vars)


async def test_an_invite_reaches_the_room_that_the_call_hook_created(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    jambonz = jambonz_for(telephony, room_gateway)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    (target,) = dial["target"]
    assert target["sipUri"] == f"sip:{call_id}@{telephony.sip_host};transport=udp"
    async with Telephone.at(telephony.carrier_address) as phone:
        variables = {"user": call_id, "audio_port": str(phone.port)}
        async with telephony.caller("call", tmp_path, **variables) as caller:
            await caller.message("SIP/2.0 200 ")
            await phone.greeted()
            await jambonz.status("in-progress")
            await phone.echoed()
            (sip,) = [p for p in await livekit.participants(call_id) if p.kind == p.Kind.SIP]
            assert sip.attributes["account_code"] == "em-tech-01", "from a header, as setup has it"
            caller.send_info()
            await caller.finished()
    # Jambonz sends no more hooks, so LiveKit's webhook ends the call.
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
    await wait_until_empty(livekit, call_id)


async def test_an_invite_without_a_call_hook_is_rejected(
    telephony: Telephony, livekit: LiveKit, tmp_path: Path
) -> None:
    unknown = f"call-{uuid.uuid4()}"
    async with telephony.caller("call_rejected", tmp_path, user=unknown) as caller:
        await caller.finished()
    assert unknown not in {room.name for room in await livekit.rooms()}


async def test_a_caller_for_whom_no_agent_comes_is_sent_to_the_fallback(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    jambonz = jambonz_for(telephony, room_gateway, AGENT_NAME="without-a-worker")
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with telephony.caller("call_rejected", tmp_path, user=call_id) as caller:
        await caller.message("SIP/2.0 180 ")
        await caller.finished()
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "no_agent")
    await wait_until_deleted(livekit, call_id)
    (dial,) = await jambonz.dial_ends(dial["actionHook"], "trying", "busy", 486)
    assert dial["target"] == [{"type": "phone", "number": "+15550107", "trunk": "my-carrier"}]
    (dial,) = await jambonz.dial_ends(dial["actionHook"], "trying", "failed", 480)
    assert dial["target"] == [{"type": "sip", "sipUri": "sip:desk@pbx.example.com"}]
    (refusal,) = await jambonz.dial_ends(dial["actionHook"], "trying", "no-answer", 487)
    assert (refusal["verb"], refusal["status"]) == ("sip:decline", 480)


@pytest.mark.field("C6")
async def test_a_ringing_caller_on_whom_a_client_hangs_up_is_declined(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    jambonz = jambonz_for(telephony, room_gateway, AGENT_NAME="without-a-worker")
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with telephony.caller("call_rejected", tmp_path, user=call_id) as caller:
        await caller.message("SIP/2.0 180 ")
        await hang_up(room_gateway, call_id)
        await caller.finished()
    (refusal,) = await jambonz.dial_ends(dial["actionHook"], "trying", "busy", 486)
    assert (refusal["verb"], refusal["status"]) == ("sip:decline", 603)


@pytest.mark.field("J2")
async def test_a_caller_whose_agent_dies_in_the_call_is_sent_to_the_fallback(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    jambonz = jambonz_for(telephony, room_gateway)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with Telephone.at(telephony.carrier_address) as phone:
        variables = {"user": call_id, "audio_port": str(phone.port)}
        async with telephony.caller("call_of_a_stranger", tmp_path, **variables) as caller:
            await caller.message("SIP/2.0 200 ")
            await phone.greeted()
            await jambonz.far_status("in-progress")
            await jambonz.status("in-progress")
            for process in job_processes(telephony.real):
                process.kill()
            await caller.finished()
    (dial,) = await jambonz.dial_ends(dial["actionHook"], "in-progress", "completed", 200)
    assert dial["target"] == [{"type": "phone", "number": "+15550107", "trunk": "my-carrier"}]
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "agent_error")


def _pressed(telephony: Telephony, call_id: str) -> int:
    """How many keys of the call reached the agent."""
    lines = telephony.real.worker.lines
    return sum("key.pressed" in line and call_id in line for line in lines)


@pytest.mark.field("J7")
async def test_keys_that_are_pressed_while_the_caller_talks(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    keys = "0123456789*#"
    jambonz = jambonz_for(telephony, room_gateway)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with Telephone.at(telephony.carrier_address) as phone:
        variables = {"user": call_id, "audio_port": str(phone.port)}
        async with telephony.caller("call", tmp_path, **variables) as caller:
            await caller.message("SIP/2.0 200 ")
            await phone.greeted()
            await jambonz.status("in-progress")
            await phone.echoed()
            phone.press(keys)
            async with asyncio.timeout(60):
                while _pressed(telephony, call_id) < len(keys):
                    await asyncio.sleep(0.1)
            await phone.echoed()
            caller.send_info()
            await caller.finished()
    call = await call_when(room_gateway, call_id, lambda call: call["report"] is not None)
    assert call["disconnection_reason"] == "user_hangup"
    assert call["report"]["errors"] == []
    said = [entry["text"] for entry in call["report"]["transcript"] if entry["role"] == "user"]
    assert said == ["[key]"] * len(keys)


@pytest.mark.field("A7")
async def test_a_stranger_who_dials_a_live_calls_room_is_put_out(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (dial,) = await jambonz_for(telephony, room_gateway).call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with (
        Telephone.at(telephony.carrier_address) as phone,
        Telephone.at(telephony.carrier_address) as strangers_phone,
        telephony.caller(
            "call", tmp_path / "caller", user=call_id, audio_port=str(phone.port)
        ) as caller,
    ):
        await caller.message("SIP/2.0 200 ")
        await phone.greeted()
        variables = {"user": call_id, "audio_port": str(strangers_phone.port)}
        async with telephony.caller(
            "call_of_a_stranger", tmp_path / "stranger", **variables
        ) as stranger:
            # Refused while it rings, or hung up just after the answer.
            async with asyncio.timeout(LIMIT):
                while not re.search(r"(?m)^(BYE |SIP/2.0 486 )", stranger.messages):
                    await asyncio.sleep(0.05)
        await phone.echoed()
        removed = "stray_leg_removed"
        call = await call_when(
            room_gateway,
            call_id,
            lambda call: removed in [entry["event"] for entry in call["timeline"]],
        )
        assert (call["call_status"], call["caller"]["identity"]) == ("ongoing", "sip_+15550100")
        assert "sip_+15550106" in [it["identity"] for it in call["participants"]]
        caller.send_info()
        await caller.finished()
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


@pytest.mark.field("A4")
async def test_the_same_caller_by_another_leg_goes_on(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (dial,) = await jambonz_for(telephony, room_gateway).call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with (
        Telephone.at(telephony.carrier_address) as phone,
        Telephone.at(telephony.carrier_address) as second_phone,
        telephony.caller(
            "call", tmp_path / "first", user=call_id, audio_port=str(phone.port)
        ) as first,
    ):
        await first.message("SIP/2.0 200 ")
        await phone.greeted()
        call = await call_when(room_gateway, call_id, lambda call: call["caller"])
        variables = {"user": call_id, "audio_port": str(second_phone.port)}
        async with telephony.caller("call", tmp_path / "second", **variables) as second:
            await second.message("SIP/2.0 200 ")
            await first.message("BYE ")
            earlier = call["caller"]["sip_call_id"]
            call = await call_when(
                room_gateway, call_id, lambda call: call["caller"]["sip_call_id"] != earlier
            )
            await second_phone.echoed()
            await asyncio.sleep(3)  # an end by the first leg's departure would come 2 s after it
            call = await call_when(room_gateway, call_id, lambda call: call["call_status"])
            assert call["call_status"] == "ongoing", call["timeline"]
            second.send_info()
            await second.finished()
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
