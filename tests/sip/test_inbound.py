"""Calls that Jambonz sends, by real INVITEs to a real livekit-sip; SIPp is Jambonz's SIP side."""

import uuid
from pathlib import Path

import aiohttp

from gateway.livekit.client import LiveKit
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import WEBHOOK_SECRET
from tests.sip.conftest import emptied, shown
from tests.sip.parts import Telephony
from tests.sip.telephone import Telephone


def switch(telephony: Telephony, n8n: aiohttp.ClientSession, **settings: str) -> Jambonz:
    url = telephony.real.url
    return Jambonz(n8n, url, WEBHOOK_SECRET, "+15550100", "+15550199", env_vars=settings)


async def test_an_invite_lands_in_the_room_its_hook_made(
    telephony: Telephony, n8n: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    jambonz = switch(telephony, n8n)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    (target,) = dial["target"]
    assert target["sipUri"] == f"sip:{call_id}@{telephony.sip_host};transport=udp"
    async with Telephone.at(telephony.address) as phone:
        words = {"user": call_id, "audio_port": str(phone.port)}
        async with telephony.caller("call", tmp_path, **words) as caller:
            await caller.sees("SIP/2.0 200 ")
            await phone.greeted()
            await jambonz.status("in-progress")
            await phone.echoed()
            (leg,) = [p for p in await livekit.participants(call_id) if p.kind == p.Kind.SIP]
            assert leg.attributes["account_code"] == "em-tech-01", "a header's, as setup has it"
            caller.tell()
            await caller.played()
    # No hook of Jambonz's comes any more: LiveKit's word must do.
    call = await shown(n8n, call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
    await emptied(livekit, call_id)


async def test_an_invite_for_a_room_that_nobody_registered_is_refused(
    telephony: Telephony, livekit: LiveKit, tmp_path: Path
) -> None:
    stranger = f"call-{uuid.uuid4()}"
    async with telephony.caller("call_in_vain", tmp_path, user=stranger) as caller:
        await caller.played()
    assert stranger not in {it.name for it in await livekit.rooms()}


async def test_a_caller_whom_no_agent_takes_gets_the_fallback(
    telephony: Telephony, n8n: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    jambonz = switch(telephony, n8n, AGENT_NAME="nobody-answers-to-this")
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with telephony.caller("call_in_vain", tmp_path, user=call_id) as caller:
        await caller.sees("SIP/2.0 180 ")
        await caller.played()
    call = await shown(n8n, call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "no_agent")
    assert call_id not in {it.name for it in await livekit.rooms()}
    (desk,) = await jambonz.dial_ends(dial["actionHook"], "trying", "busy", 486)
    assert desk["target"] == [{"type": "phone", "number": "+15550107", "trunk": "my-carrier"}]
    (desk,) = await jambonz.dial_ends(desk["actionHook"], "trying", "failed", 480)
    assert desk["target"] == [{"type": "sip", "sipUri": "sip:desk@pbx.example.com"}]
    (refusal,) = await jambonz.dial_ends(desk["actionHook"], "trying", "busy", 486)
    assert (refusal["verb"], refusal["status"]) == ("sip:decline", 486)
