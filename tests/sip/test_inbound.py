"""Calls that Jambonz sends, by real INVITEs to a real livekit-sip; SIPp is Jambonz' SIP side."""

import asyncio
import uuid
from pathlib import Path

import aiohttp
import pytest

from gateway.livekit.client import LiveKit
from gateway.simulate.jambonz import Jambonz
from tests.conftest import WEBHOOK_SECRET
from tests.sip.conftest import DEADLINE, Telephony, shown
from tests.sip.telephone import TONE_HZ, Telephone


async def test_an_invite_lands_in_the_room_its_hook_made(
    telephony: Telephony, n8n: aiohttp.ClientSession, tmp_path: Path
) -> None:
    jambonz = Jambonz(n8n, telephony.real.url, WEBHOOK_SECRET, "+15550100", "+15550199")
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    (target,) = dial["target"]
    assert target["sipUri"] == f"sip:{call_id}@{telephony.sip_host};transport=udp"
    async with Telephone.at(telephony.address) as phone:
        words = {"user": call_id, "audio_port": str(phone.port), "hold": "6000"}
        async with telephony.caller("call", tmp_path, **words) as caller:
            await asyncio.wait_for(phone.spoken_to.wait(), DEADLINE)
            await jambonz.status("in-progress")
            await caller.played()
        assert phone.pitch(seconds=1.0) == pytest.approx(TONE_HZ, abs=10), "their tone, echoed"
    # No hook of Jambonz's comes any more: LiveKit's word must do.
    call = await shown(n8n, call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


async def test_an_invite_for_a_room_that_nobody_registered_is_refused(
    telephony: Telephony, tmp_path: Path
) -> None:
    stranger = f"call-{uuid.uuid4()}"
    async with telephony.caller("call_in_vain", tmp_path, user=stranger) as caller:
        await caller.played()
    settings = telephony.real.config.livekit
    async with LiveKit.connected(
        settings.url, settings.api_key, settings.api_secret, deadline=5
    ) as livekit:
        assert stranger not in await livekit.room_names()
