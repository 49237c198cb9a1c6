"""The strategy `participant`: the caller waits at Jambonz, a real livekit-sip calls in.

SIPp is Jambonz's SIP side, towards which LiveKit's outbound trunk leads.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.livekit.client import LiveKit
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import WEBHOOK_SECRET
from tests.sip.conftest import emptied, hang_up, shown
from tests.sip.parts import FALLBACK_WORDS, Telephony
from tests.sip.sipp import Sipp
from tests.sip.telephone import Telephone


@dataclass(frozen=True)
class Parked:
    """A caller who waits, and LiveKit's leg that has been told to pick them up."""

    call_id: str
    enqueue: dict[str, Any]
    jambonz: Jambonz
    leg: Jambonz
    livekit_sip: Sipp
    phone: Telephone


def switch(
    telephony: Telephony, ops: aiohttp.ClientSession, to_number: str = "+15550199", **settings: str
) -> Jambonz:
    url = telephony.parking_url
    return Jambonz(ops, url, WEBHOOK_SECRET, "+15550100", to_number, env_vars=settings)


async def parked(jambonz: Jambonz) -> tuple[str, dict[str, Any]]:
    """A call arrives and is parked: its id, and the verb that did it."""
    (enqueue,) = await jambonz.call_arrives()
    assert enqueue["verb"] == "enqueue"
    await jambonz.status("in-progress")
    return enqueue["name"], enqueue


@asynccontextmanager
async def connected(
    telephony: Telephony, ops: aiohttp.ClientSession, folder: Path
) -> AsyncIterator[Parked]:
    """A parked caller who talks to the agent."""
    jambonz = switch(telephony, ops)
    async with (
        Telephone.at(telephony.address) as phone,
        telephony.callee("answer_when_told", folder, audio_port=str(phone.port)) as callee,
    ):
        call_id, enqueue = await parked(jambonz)
        await callee.invited()
        (music,) = await jambonz.waits(enqueue["waitHook"])
        assert music["verb"] == "play"
        leg = switch(telephony, ops, called(callee))
        dequeue, _ = await leg.call_arrives()
        assert (dequeue["verb"], dequeue["name"]) == ("dequeue", call_id)
        call = await shown(ops, call_id, lambda c: c["call_status"] == "ringing")
        assert call["answer_timestamp"] is None, "the caller is there, the agent not yet"
        callee.tell()
        await leg.status("in-progress")
        await phone.greeted()
        await shown(ops, call_id, lambda c: c["call_status"] == "ongoing")
        yield Parked(call_id, enqueue, jambonz, leg, callee, phone)


def called(callee: Sipp) -> str:
    """The user of the INVITE's URI."""
    return callee.dialed.removeprefix("sip:").partition("@")[0]


async def test_a_parked_caller_talks_and_hangs_up(
    telephony: Telephony, ops: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    async with connected(telephony, ops, tmp_path) as call:
        assert called(call.livekit_sip) == call.call_id
        assert "<sip:+15550100@" in call.livekit_sip.header("From")
        assert call.livekit_sip.header("X-Call-Id") == call.call_id
        await call.phone.echoed()
        call.livekit_sip.tell()
        await call.livekit_sip.played()
        hook = call.enqueue["actionHook"]
        assert await call.jambonz.queue_ends(hook, "completed", "hangup") == []
    ended = await shown(ops, call.call_id, lambda c: c["end_timestamp"])
    assert (ended["call_status"], ended["disconnection_reason"]) == ("ended", "user_hangup")
    await emptied(livekit, call.call_id)


async def test_an_agent_that_goes_ends_the_call_of_a_parked_caller(
    telephony: Telephony, ops: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    async with connected(telephony, ops, tmp_path) as call:
        await hang_up(ops, call.call_id)
        await call.livekit_sip.played()
        hook = call.enqueue["actionHook"]
        (verb,) = await call.jambonz.queue_ends(hook, "in-progress", "bridged")
        assert verb == {"verb": "hangup"}
    ended = await shown(ops, call.call_id, lambda c: c["end_timestamp"])
    assert (ended["call_status"], ended["disconnection_reason"]) == ("ended", "manual_stopped")
    await emptied(livekit, call.call_id)


async def test_a_parked_caller_who_gives_up_stops_the_ringing(
    telephony: Telephony, ops: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    jambonz = switch(telephony, ops)
    async with telephony.callee("ring", tmp_path) as callee:
        call_id, enqueue = await parked(jambonz)
        await callee.invited()
        hook = enqueue["actionHook"]
        assert await jambonz.queue_ends(hook, "completed", "hangup") == []
        (verb,) = await switch(telephony, ops, call_id).call_arrives()
        assert verb["verb"] == "sip:decline", "there is nobody left to be picked up"
        await callee.played()
    call = await shown(ops, call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("not_connected", "user_hangup")
    await emptied(livekit, call_id)


@pytest.mark.parametrize(
    ("refusal", "reason"), [("486 Busy Here", "dial_busy"), ("503 No Trunk", "dial_failed")]
)
async def test_a_parked_caller_whom_no_leg_comes_for_gets_the_fallback(
    telephony: Telephony, ops: aiohttp.ClientSession, tmp_path: Path, refusal: str, reason: str
) -> None:
    jambonz = switch(telephony, ops)
    async with telephony.callee("refuse", tmp_path, status=refusal) as callee:
        call_id, enqueue = await parked(jambonz)
        await callee.played()
    call = await shown(ops, call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("not_connected", reason)
    assert call["sip"]["status"] == int(refusal[:3])
    await assert_falls_back(jambonz, enqueue)


async def test_a_parked_caller_whom_no_agent_takes_gets_the_fallback(
    telephony: Telephony, ops: aiohttp.ClientSession
) -> None:
    jambonz = switch(telephony, ops, AGENT_NAME="nobody-answers-to-this")
    call_id, enqueue = await parked(jambonz)
    (music,) = await jambonz.waits(enqueue["waitHook"])
    assert music["verb"] == "play"
    call = await shown(ops, call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "no_agent")
    await assert_falls_back(jambonz, enqueue)


async def assert_falls_back(jambonz: Jambonz, enqueue: dict[str, Any]) -> None:
    """The caller leaves the queue and hears why."""
    assert await jambonz.waits(enqueue["waitHook"]) == [{"verb": "leave"}]
    say, after = await jambonz.queue_ends(enqueue["actionHook"], "in-progress", "leave")
    assert (say["verb"], say["text"]) == ("say", FALLBACK_WORDS)
    assert after == {"verb": "hangup"}
