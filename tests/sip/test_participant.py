"""The strategy `participant`: callers wait in Jambonz's queue, a real livekit-sip calls Jambonz.

SIPp is Jambonz's SIP side, to which LiveKit's outbound trunk leads.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.jambonz.leg_token import HEADER
from gateway.livekit.client import LiveKit
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import WEBHOOK_SECRET
from tests.sip.conftest import call_when, ended_call, hang_up, wait_until_empty
from tests.sip.server_settings import FALLBACK_TEXT
from tests.sip.servers import Telephony
from tests.sip.sipp import Sipp
from tests.sip.telephone import Telephone


@dataclass(frozen=True)
class DequeuedCall:
    """A caller whom LiveKit's call has dequeued; `jambonz` are the hooks of the caller's leg."""

    call_id: str
    enqueue: dict[str, Any]
    jambonz: Jambonz
    livekit_leg: Sipp
    phone: Telephone


def jambonz_for(
    telephony: Telephony,
    gateway: aiohttp.ClientSession,
    to_number: str = "+15550199",
    **env_vars: str,
) -> Jambonz:
    """Jambonz's webhooks for a call to the gateway with the strategy `participant`."""
    url = telephony.participant_url
    return Jambonz(gateway, url, WEBHOOK_SECRET, "+15550100", to_number, env_vars=env_vars)


async def enqueued(jambonz: Jambonz) -> tuple[str, dict[str, Any]]:
    """A call arrives and is enqueued; returns its id and the enqueue verb."""
    (enqueue,) = await jambonz.call_arrives()
    assert enqueue["verb"] == "enqueue"
    await jambonz.status("in-progress")
    return enqueue["name"], enqueue


@asynccontextmanager
async def dequeued_call(
    telephony: Telephony, gateway: aiohttp.ClientSession, folder: Path
) -> AsyncIterator[DequeuedCall]:
    """An enqueued caller who talks to the agent."""
    jambonz = jambonz_for(telephony, gateway)
    async with (
        Telephone.at(telephony.carrier_address) as phone,
        telephony.callee("answer_on_info", folder, audio_port=str(phone.port)) as livekit_leg,
    ):
        call_id, enqueue = await enqueued(jambonz)
        await livekit_leg.message("INVITE ")
        (music,) = await jambonz.waits(enqueue["waitHook"])
        assert music["verb"] == "play"
        await assert_a_stranger_is_declined(telephony, gateway, call_id)
        livekit_hooks = jambonz_for(telephony, gateway, called_user(livekit_leg))
        # Jambonz's SBC hands on headers of the INVITE.
        livekit_hooks.headers = {HEADER: livekit_leg.invite_header(HEADER)}
        dequeue, _ = await livekit_hooks.call_arrives()
        assert (dequeue["verb"], dequeue["name"]) == ("dequeue", call_id)
        call = await call_when(gateway, call_id, lambda call: call["call_status"] == "ringing")
        assert call["answer_timestamp"] is None, "the caller does not talk to the agent yet"
        livekit_leg.send_info()
        await livekit_hooks.status("in-progress")
        await phone.greeted()
        await call_when(gateway, call_id, lambda call: call["call_status"] == "ongoing")
        yield DequeuedCall(call_id, enqueue, jambonz, livekit_leg, phone)


async def assert_a_stranger_is_declined(
    telephony: Telephony, gateway: aiohttp.ClientSession, call_id: str
) -> None:
    """Somebody calls Jambonz with the id of an enqueued caller's call as their destination."""
    (verb,) = await jambonz_for(telephony, gateway, call_id).call_arrives()
    assert (verb["verb"], verb["status"]) == ("sip:decline", 403)


def called_user(callee: Sipp) -> str:
    """The user of the INVITE's request URI."""
    return callee.request_uri.removeprefix("sip:").partition("@")[0]


@pytest.mark.field("C13")
async def test_an_enqueued_caller_talks_and_hangs_up(
    telephony: Telephony,
    participant_gateway: aiohttp.ClientSession,
    livekit: LiveKit,
    tmp_path: Path,
) -> None:
    async with dequeued_call(telephony, participant_gateway, tmp_path) as talk:
        assert called_user(talk.livekit_leg) == talk.call_id
        assert "<sip:+15550100@" in talk.livekit_leg.invite_header("From")
        assert talk.livekit_leg.invite_header("X-Call-Id") == talk.call_id
        await talk.phone.echoed()
        talk.livekit_leg.send_info()
        await talk.livekit_leg.finished()
        hook = talk.enqueue["actionHook"]
        assert await talk.jambonz.queue_ends(hook, "completed", "hangup") == []
    call = await ended_call(participant_gateway, talk.call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
    await wait_until_empty(livekit, talk.call_id)


async def test_hangup_of_the_agents_side_ends_an_enqueued_call(
    telephony: Telephony,
    participant_gateway: aiohttp.ClientSession,
    livekit: LiveKit,
    tmp_path: Path,
) -> None:
    async with dequeued_call(telephony, participant_gateway, tmp_path) as talk:
        await hang_up(participant_gateway, talk.call_id)
        await talk.livekit_leg.finished()
        hook = talk.enqueue["actionHook"]
        (verb,) = await talk.jambonz.queue_ends(hook, "in-progress", "bridged")
        assert verb == {"verb": "hangup"}
    call = await ended_call(participant_gateway, talk.call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "manual_stopped")
    await wait_until_empty(livekit, talk.call_id)


async def test_an_enqueued_caller_who_hangs_up_stops_the_ringing(
    telephony: Telephony,
    participant_gateway: aiohttp.ClientSession,
    livekit: LiveKit,
    tmp_path: Path,
) -> None:
    jambonz = jambonz_for(telephony, participant_gateway)
    async with telephony.callee("ring_until_cancel", tmp_path) as livekit_leg:
        call_id, enqueue = await enqueued(jambonz)
        await livekit_leg.message("INVITE ")
        hook = enqueue["actionHook"]
        assert await jambonz.queue_ends(hook, "completed", "hangup") == []
        hooks = jambonz_for(telephony, participant_gateway, call_id)
        hooks.headers = {HEADER: livekit_leg.invite_header(HEADER)}
        (verb,) = await hooks.call_arrives()
        assert verb["status"] == 480, "the queue has no caller left to dequeue"
        await livekit_leg.finished()
    call = await ended_call(participant_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("not_connected", "user_hangup")
    await wait_until_empty(livekit, call_id)


@pytest.mark.parametrize(
    ("rejection", "reason"),
    [("486 Busy Here", "dial_busy"), ("503 No Trunk", "telephony_provider_unavailable")],
)
async def test_an_enqueued_caller_is_sent_to_the_fallback_if_livekits_call_is_rejected(
    telephony: Telephony,
    participant_gateway: aiohttp.ClientSession,
    tmp_path: Path,
    rejection: str,
    reason: str,
) -> None:
    jambonz = jambonz_for(telephony, participant_gateway)
    async with telephony.callee("reject", tmp_path, status=rejection) as livekit_leg:
        call_id, enqueue = await enqueued(jambonz)
        await livekit_leg.finished()
    call = await ended_call(participant_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("not_connected", reason)
    assert call["sip"]["status"] == int(rejection[:3])
    await assert_leaves_to_fallback(jambonz, enqueue)


async def test_an_enqueued_caller_for_whom_no_agent_comes_is_sent_to_the_fallback(
    telephony: Telephony, participant_gateway: aiohttp.ClientSession
) -> None:
    jambonz = jambonz_for(telephony, participant_gateway, AGENT_NAME="without-a-worker")
    call_id, enqueue = await enqueued(jambonz)
    (music,) = await jambonz.waits(enqueue["waitHook"])
    assert music["verb"] == "play"
    call = await ended_call(participant_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "no_agent")
    await assert_leaves_to_fallback(jambonz, enqueue)


async def assert_leaves_to_fallback(jambonz: Jambonz, enqueue: dict[str, Any]) -> None:
    """The caller leaves the queue and hears the fallback's text."""
    assert await jambonz.waits(enqueue["waitHook"]) == [{"verb": "leave"}]
    say, after = await jambonz.queue_ends(enqueue["actionHook"], "in-progress", "leave")
    assert (say["verb"], say["text"]) == ("say", FALLBACK_TEXT)
    assert after == {"verb": "hangup"}
