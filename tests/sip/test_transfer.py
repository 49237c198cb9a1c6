"""Callers who are handed on by REFERs of a real livekit-sip; SIPp is Jambonz's SIP side."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import api

from gateway.livekit.client import LiveKit
from gateway.tools.simulate.jambonz import HookRefused, Jambonz
from tests.sip.conftest import emptied, shown
from tests.sip.parts import Telephony
from tests.sip.sipp import Sipp
from tests.sip.telephone import Telephone
from tests.sip.test_inbound import switch
from tests.sip.test_outbound import dispatch
from tests.sip.test_participant import connected

TARGET = "+61491570156"
ELSEWHERE = "+15550109"


@dataclass(frozen=True)
class Talk:
    """A caller who talks to the agent, on Jambonz's SIP side and on that of its hooks."""

    call_id: str
    dial: dict[str, Any]
    jambonz: Jambonz
    caller: Sipp
    phone: Telephone


@asynccontextmanager
async def talking(
    telephony: Telephony, n8n: aiohttp.ClientSession, folder: Path, *, answer: str
) -> AsyncIterator[Talk]:
    """A caller who talks to the agent; the SIP side answers a REFER with `answer` when told."""
    jambonz = switch(telephony, n8n)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with Telephone.at(telephony.address) as phone:
        words = {"user": call_id, "audio_port": str(phone.port), "answer": answer}
        async with telephony.caller("call_and_be_referred", folder, **words) as caller:
            await caller.sees("SIP/2.0 200 ")
            await phone.greeted()
            await jambonz.far_status("in-progress")
            await jambonz.status("in-progress")
            yield Talk(call_id, dial, jambonz, caller, phone)


async def transfer(n8n: aiohttp.ClientSession, call_id: str, **body: str) -> tuple[int, Any]:
    """Status and content of the answer to a request to hand the call on."""
    async with n8n.post(f"/livekit-api/calls/{call_id}/transfer", json=body) as answer:
        return answer.status, await answer.json()


def refer_to(refer: str) -> str:
    (value,) = [line[9:].strip() for line in refer.splitlines() if line.startswith("Refer-To:")]
    return value


async def test_a_call_that_is_handed_on_from_outside(
    telephony: Telephony, n8n: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    async with talking(telephony, n8n, tmp_path, answer="202 Accepted") as talk:
        jambonz, call_id = talk.jambonz, talk.call_id
        asked = asyncio.create_task(transfer(n8n, call_id, target=TARGET))
        refer = await talk.caller.sees("REFER ")
        assert refer_to(refer).strip("<>") == f"tel:{TARGET}"
        dial, after = await jambonz.refers(talk.dial["referHook"], refer_to(refer))
        assert dial["target"] == [{"type": "phone", "number": TARGET, "trunk": "my-carrier"}]
        assert after == {"verb": "hangup"}
        talk.caller.tell()
        await talk.caller.sees("SIP/2.0 202 ")
        talk.caller.tell()
        await talk.caller.played()
        status, call = await asked
        assert (status, call["transfer"]["target"]) == (200, TARGET), call
    # The dial to LiveKit is over, what its action hook answers is ignored: it is no hang-up.
    assert await jambonz.dial_ends(talk.dial["actionHook"], "in-progress", "completed", 200) == []
    assert (await shown(n8n, call_id, lambda c: c["transfer"]))["call_status"] == "ongoing"
    jambonz.far_sid = str(uuid.uuid4())
    await jambonz.far_status("ringing", 180)
    await jambonz.far_status("in-progress")
    call = await shown(n8n, call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
    assert call["transfer"]["target"] == TARGET
    assert call["transfer"]["sip"] == {"status": 200, "reason": "OK"}
    await emptied(livekit, call_id)
    assert await jambonz.dial_ends(dial["actionHook"], "in-progress", "completed", 200) == []


async def test_an_agent_may_hand_a_caller_on_only_to_those_who_are_allowed(
    telephony: Telephony, n8n: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with talking(telephony, n8n, tmp_path, answer="403 Forbidden") as talk:
        status, answer = await transfer(n8n, talk.call_id, target=ELSEWHERE)
        assert (status, answer["error"]) == (403, "transfer_not_allowed")
        asked = asyncio.create_task(ask_livekit(telephony, talk.call_id))
        refer = await talk.caller.sees("REFER ")
        with pytest.raises(HookRefused, match=r"answered 403: .*transfer_not_allowed"):
            await talk.jambonz.refers(talk.dial["referHook"], refer_to(refer))
        talk.caller.tell()
        with pytest.raises(api.SipCallError) as refused:
            await asked
        assert refused.value.sip_status_code == 403
        await talk.phone.echoed()
        call = await shown(n8n, talk.call_id, lambda c: c["answer_timestamp"])
        assert (call["call_status"], call["transfer"]) == ("ongoing", None)
        talk.caller.tell()
        await talk.caller.played()
    call = await shown(n8n, talk.call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


async def ask_livekit(telephony: Telephony, call_id: str) -> None:
    """What an agent does to hand its caller on."""
    settings = telephony.real.config.livekit
    async with api.LiveKitAPI(settings.url, settings.api_key, settings.api_secret) as client:
        request = api.TransferSIPParticipantRequest(
            room_name=call_id, participant_identity="sip_+15550100", transfer_to=f"tel:{ELSEWHERE}"
        )
        await client.sip.transfer_sip_participant(request)


async def test_a_parked_caller_who_is_handed_on(
    telephony: Telephony, ops: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    async with connected(telephony, ops, tmp_path) as parked:
        status, call = await transfer(ops, parked.call_id, target=TARGET)
        assert (status, call["transfer"]["target"]) == (200, TARGET), call
        await parked.livekit_sip.played()
        hook = parked.enqueue["actionHook"]
        dial, after = await parked.jambonz.queue_ends(hook, "in-progress", "bridged")
    assert dial["target"] == [{"type": "phone", "number": TARGET, "trunk": "my-carrier"}]
    assert after == {"verb": "hangup"}
    await parked.jambonz.far_status("in-progress")
    call = await shown(ops, parked.call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
    assert call["transfer"]["sip"] == {"status": 200, "reason": "OK"}
    await emptied(livekit, parked.call_id)


async def test_a_callee_is_handed_on_to_the_target_of_the_dispatch(
    telephony: Telephony, n8n: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    async with dispatched(telephony, n8n, tmp_path, answer="202 Accepted") as (call_id, callee):
        asked = asyncio.create_task(transfer(n8n, call_id))
        refer = await callee.sees("REFER ")
        assert refer_to(refer).strip("<>") == f"tel:{ELSEWHERE}"
        callee.tell()
        await callee.sees("SIP/2.0 202 ")
        callee.tell()
        await callee.played()
        status, call = await asked
    assert status == 200, call
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
    assert call["transfer"]["sip"] == {"status": 200, "reason": "OK"}
    await emptied(livekit, call_id)


@pytest.mark.parametrize(
    ("scenario", "outcome"),
    [
        ("answer_and_be_referred", "603 Decline"),
        ("answer_and_be_referred_in_vain", "486 Busy Here"),
    ],
)
async def test_a_callee_whom_their_carrier_cannot_hand_on_stays(
    telephony: Telephony, n8n: aiohttp.ClientSession, tmp_path: Path, scenario: str, outcome: str
) -> None:
    words = {"scenario": scenario, "answer": outcome, "outcome": outcome}
    async with dispatched(telephony, n8n, tmp_path, **words) as (call_id, callee):
        asked = asyncio.create_task(transfer(n8n, call_id))
        await callee.sees("REFER ")
        callee.tell()
        status, answer = await asked
        assert (status, answer["message"]) == (502, outcome)
        call = await shown(n8n, call_id, lambda c: c["transfer"]["ended_at"])
        assert call["call_status"] == "ongoing"
        assert call["transfer"]["sip"] == {"status": int(outcome[:3]), "reason": outcome[4:]}
        callee.tell()
        await callee.played()
    call = await shown(n8n, call_id, lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


@asynccontextmanager
async def dispatched(
    telephony: Telephony,
    n8n: aiohttp.ClientSession,
    folder: Path,
    *,
    scenario: str = "answer_and_be_referred",
    **words: str,
) -> AsyncIterator[tuple[str, Sipp]]:
    """A callee who talks to the agent, and goes by `scenario`; `words` are for that."""
    async with Telephone.at(telephony.address) as phone:
        words["audio_port"] = str(phone.port)
        async with telephony.callee(scenario, folder, **words) as callee:
            status, call = await dispatch(n8n, wait="answer", transfer_target=ELSEWHERE)
            assert status == 200, call
            await phone.greeted()
            yield call["call_id"], callee
