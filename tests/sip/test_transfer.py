"""Transfers by REFERs of a real livekit-sip; SIPp is Jambonz's SIP side."""

import asyncio
import re
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
from tests.sip.conftest import call_when, ended_call, wait_until_empty
from tests.sip.servers import Telephony
from tests.sip.sipp import Sipp
from tests.sip.telephone import Telephone
from tests.sip.test_inbound import jambonz_for
from tests.sip.test_outbound import dispatch
from tests.sip.test_participant import dequeued_call

TARGET = "+61491570156"
OTHER_TARGET = "+15550109"


@dataclass(frozen=True)
class InboundTalk:
    """A caller who talks to the agent: `jambonz` has the hooks, `caller` the SIP side."""

    call_id: str
    dial: dict[str, Any]
    jambonz: Jambonz
    caller: Sipp
    phone: Telephone

    async def follows_refer(self) -> list[dict[str, Any]]:
        """Accept the agent's REFER and hang up, as Jambonz does; returns the verbs that follow."""
        refer = await self.caller.message("REFER ")
        verbs = await self.jambonz.refers(self.dial["referHook"], refer_to(refer))
        self.caller.send_info()
        await self.caller.message("SIP/2.0 202 ")
        self.caller.send_info()
        await self.caller.finished()
        return verbs


@asynccontextmanager
async def answered(
    telephony: Telephony,
    jambonz: Jambonz,
    phone: Telephone,
    folder: Path,
    scenario: str = "call_refer",
    **variables: str,
) -> AsyncIterator[InboundTalk]:
    """A caller whose call has been answered, played from `scenario` with `variables`."""
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    variables |= {"user": call_id, "audio_port": str(phone.port)}
    async with telephony.caller(scenario, folder, **variables) as caller:
        await caller.message("SIP/2.0 200 ")
        await jambonz.far_status("in-progress")
        await jambonz.status("in-progress")
        yield InboundTalk(call_id, dial, jambonz, caller, phone)


@asynccontextmanager
async def inbound_talk(
    telephony: Telephony, gateway: aiohttp.ClientSession, folder: Path, *, refer_response: str
) -> AsyncIterator[InboundTalk]:
    """A caller who talks to the agent. After an INFO, they respond so to a REFER."""
    jambonz = jambonz_for(telephony, gateway)
    async with (
        Telephone.at(telephony.carrier_address) as phone,
        answered(telephony, jambonz, phone, folder, refer_response=refer_response) as talk,
    ):
        await phone.greeted()
        yield talk


@asynccontextmanager
async def outbound_talk(
    telephony: Telephony,
    gateway: aiohttp.ClientSession,
    folder: Path,
    *,
    scenario: str = "answer_refer",
    **variables: str,
) -> AsyncIterator[tuple[str, Sipp]]:
    """A callee who talks to the agent, played from `scenario` with `variables`."""
    async with Telephone.at(telephony.carrier_address) as phone:
        variables["audio_port"] = str(phone.port)
        async with telephony.callee(scenario, folder, **variables) as callee:
            status, call = await dispatch(gateway, wait="answer", transfer_target=OTHER_TARGET)
            assert status == 200, call
            await phone.greeted()
            yield call["call_id"], callee


async def transfer(gateway: aiohttp.ClientSession, call_id: str, **body: str) -> tuple[int, Any]:
    """Status and content of the response to a transfer request."""
    async with gateway.post(f"/livekit-api/calls/{call_id}/transfer", json=body) as response:
        return response.status, await response.json()


async def agent_transfers(telephony: Telephony, call_id: str) -> None:
    """An agent transfers its caller to OTHER_TARGET by LiveKit's API."""
    settings = telephony.real.config.livekit
    async with api.LiveKitAPI(settings.url, settings.api_key, settings.api_secret) as client:
        request = api.TransferSIPParticipantRequest(
            room_name=call_id,
            participant_identity="sip_+15550100",
            transfer_to=f"tel:{OTHER_TARGET}",
        )
        await client.sip.transfer_sip_participant(request)


def refer_to(messages: str) -> str:
    """The Refer-To header of the one REFER in `messages`."""
    (value,) = [line[9:].strip() for line in messages.splitlines() if line.startswith("Refer-To:")]
    return value


async def test_a_caller_is_transferred_on_request(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    async with inbound_talk(
        telephony, room_gateway, tmp_path, refer_response="202 Accepted"
    ) as talk:
        jambonz, call_id = talk.jambonz, talk.call_id
        request = asyncio.create_task(transfer(room_gateway, call_id, target=TARGET))
        dial, after = await talk.follows_refer()
        assert refer_to(talk.caller.messages).strip("<>") == f"tel:{TARGET}"
        assert dial["target"] == [{"type": "phone", "number": TARGET, "trunk": "my-carrier"}]
        assert after == {"verb": "hangup"}
        status, call = await request
        assert (status, call["transfer"]["target"]) == (200, TARGET), call
    # The dial to LiveKit ends, but the call does not; Jambonz ignores the action hook's verbs.
    assert await jambonz.dial_ends(talk.dial["actionHook"], "in-progress", "completed", 200) == []
    call = await call_when(room_gateway, call_id, lambda call: call["transfer"])
    assert call["call_status"] == "ongoing"
    jambonz.far_sid = str(uuid.uuid4())
    await jambonz.far_status("ringing", 180)
    await jambonz.far_status("in-progress")
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
    assert call["transfer"]["target"] == TARGET
    assert call["transfer"]["sip"] == {"status": 200, "reason": "OK"}
    await wait_until_empty(livekit, call_id)
    assert await jambonz.dial_ends(dial["actionHook"], "in-progress", "completed", 200) == []


@pytest.mark.field("C12")
async def test_of_five_requests_at_once_one_sends_a_refer(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with inbound_talk(telephony, room_gateway, tmp_path, refer_response="403 No") as talk:
        requests = asyncio.gather(
            *(transfer(room_gateway, talk.call_id, target=TARGET) for _ in range(5))
        )
        await talk.caller.message("REFER ")
        talk.caller.send_info()
        statuses = sorted(status for status, _ in await requests)
        assert statuses == [409, 409, 409, 409, 502]
        talk.caller.send_info()
        await talk.caller.finished()
        assert len(re.findall(r"^REFER ", talk.caller.messages, re.MULTILINE)) == 1


async def test_an_agent_may_transfer_only_to_allowed_targets(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with inbound_talk(
        telephony, room_gateway, tmp_path, refer_response="403 Forbidden"
    ) as talk:
        status, response = await transfer(room_gateway, talk.call_id, target=OTHER_TARGET)
        assert (status, response["error"]) == (403, "transfer_not_allowed")
        request = asyncio.create_task(agent_transfers(telephony, talk.call_id))
        refer = await talk.caller.message("REFER ")
        with pytest.raises(HookRefused, match=r"answered 403: .*transfer_not_allowed"):
            await talk.jambonz.refers(talk.dial["referHook"], refer_to(refer))
        talk.caller.send_info()
        with pytest.raises(api.SipCallError) as error:
            await request
        assert error.value.sip_status_code == 403
        await talk.phone.echoed()
        call = await call_when(room_gateway, talk.call_id, lambda call: call["answer_timestamp"])
        assert (call["call_status"], call["transfer"]) == ("ongoing", None)
        talk.caller.send_info()
        await talk.caller.finished()
    call = await ended_call(room_gateway, talk.call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


async def test_an_enqueued_caller_is_transferred_on_request(
    telephony: Telephony,
    participant_gateway: aiohttp.ClientSession,
    livekit: LiveKit,
    tmp_path: Path,
) -> None:
    async with dequeued_call(telephony, participant_gateway, tmp_path) as talk:
        status, call = await transfer(participant_gateway, talk.call_id, target=TARGET)
        assert (status, call["transfer"]["target"]) == (200, TARGET), call
        await talk.livekit_leg.finished()
        hook = talk.enqueue["actionHook"]
        dial, after = await talk.jambonz.queue_ends(hook, "in-progress", "bridged")
    assert dial["target"] == [{"type": "phone", "number": TARGET, "trunk": "my-carrier"}]
    assert after == {"verb": "hangup"}
    await talk.jambonz.far_status("in-progress")
    call = await ended_call(participant_gateway, talk.call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
    assert call["transfer"]["sip"] == {"status": 200, "reason": "OK"}
    await wait_until_empty(livekit, talk.call_id)


async def test_a_callee_is_transferred_to_the_target_of_the_dispatch(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, livekit: LiveKit, tmp_path: Path
) -> None:
    async with outbound_talk(telephony, room_gateway, tmp_path, refer_response="202 Accepted") as (
        call_id,
        callee,
    ):
        request = asyncio.create_task(transfer(room_gateway, call_id))
        refer = await callee.message("REFER ")
        assert refer_to(refer).strip("<>") == f"tel:{OTHER_TARGET}"
        callee.send_info()
        await callee.message("SIP/2.0 202 ")
        callee.send_info()
        await callee.finished()
        status, call = await request
    assert status == 200, call
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
    assert call["transfer"]["sip"] == {"status": 200, "reason": "OK"}
    await wait_until_empty(livekit, call_id)


@pytest.mark.parametrize(
    ("scenario", "failure"),
    [("answer_refer", "603 Decline"), ("answer_refer_that_fails", "486 Busy Here")],
)
async def test_a_callee_whose_transfer_fails_stays_with_the_agent(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    tmp_path: Path,
    scenario: str,
    failure: str,
) -> None:
    variables = {"scenario": scenario, "refer_response": failure, "target_status": failure}
    async with outbound_talk(telephony, room_gateway, tmp_path, **variables) as (call_id, callee):
        request = asyncio.create_task(transfer(room_gateway, call_id))
        await callee.message("REFER ")
        callee.send_info()
        status, response = await request
        assert (status, response["message"]) == (502, failure)
        call = await call_when(room_gateway, call_id, lambda call: call["transfer"]["ended_at"])
        assert call["call_status"] == "ongoing"
        assert call["transfer"]["sip"] == {"status": int(failure[:3]), "reason": failure[4:]}
        callee.send_info()
        await callee.finished()
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
