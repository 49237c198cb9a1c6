"""Dispatched calls, through a real livekit-sip to a callee played by SIPp."""

import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.sip.conftest import call_when, ended_call, hang_up
from tests.sip.servers import Telephony
from tests.sip.telephone import Telephone

REQUEST = {
    "destination": "61491570156",
    "account_code": "em-tech-01",
    "caller_number": "+61491570110",
    "caller_name": "Example Support",
    "caller_id": "ExampleSupport",
    "metadata": {"ticket_id": "INC-1234"},
}


async def dispatch(gateway: aiohttp.ClientSession, **more: Any) -> tuple[int, Any]:
    """Status and content of the response to REQUEST with `more` fields."""
    async with gateway.post("/dispatch", json=REQUEST | more) as response:
        return response.status, await response.json()


async def latest_call(gateway: aiohttp.ClientSession) -> Any:
    """The newest call, once it has ended: an error response to a dispatch has no call id."""
    async with gateway.get("/livekit-api/calls?include=ended&limit=1") as response:
        (call,) = (await response.json())["calls"]
    return await ended_call(gateway, call["call_id"])


async def test_a_callee_answers_talks_and_hangs_up(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        Telephone.at(telephony.carrier_address) as phone,
        telephony.callee("answer", tmp_path, audio_port=str(phone.port)) as callee,
    ):
        dispatched_at = time.time()
        status, response = await dispatch(room_gateway, wait="answer")
        assert status == 200, response
        assert response["call_status"] == "ongoing"
        assert response["metadata"] == {k: v for k, v in REQUEST.items() if k != "metadata"} | {
            "ticket_id": "INC-1234"
        }
        await phone.echoed()
        callee.send_info()
        await callee.finished()
    assert callee.invited_at.timestamp() - dispatched_at < 5
    assert callee.request_uri.startswith(f"sip:61491570156@{telephony.carrier_address}:")
    assert callee.invite_header("From").startswith('"Example Support" <sip:+61491570110@')
    assert callee.invite_header("X-Account-Code") == "em-tech-01"
    call = await ended_call(room_gateway, response["call_id"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
    assert call["duration_ms"] > 1000, "the echo takes at least a second"


@pytest.mark.field("B8", "B9")
async def test_the_from_header_is_whole_whatever_the_caller_is_called(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    caller = {"caller_number": "(02) 1234-5678", "caller_name": "ü" * 64}
    async with telephony.callee("reject", tmp_path, status="486 Busy Here") as callee:
        status, response = await dispatch(room_gateway, **caller)
        await callee.finished()
    assert (status, response["message"]) == (502, "486 Busy Here")
    assert callee.invite_header("From").startswith(f'"{"ü" * 64}" <sip:0212345678@')


@pytest.mark.field("B14", "B17")
async def test_a_sip_uri_is_called_at_its_host(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Its host is private, and the gateway's outbound.allowed names it."""
    uri = f"sip:anna@{telephony.carrier_address}:{telephony.carrier_port}"
    async with telephony.callee("reject", tmp_path, status="486 Busy Here") as callee:
        status, response = await dispatch(room_gateway, destination=uri)
        await callee.finished()
    assert (status, response["message"]) == (502, "486 Busy Here")
    assert callee.request_uri == uri
    denied = {"destination": f"sip:anna@127.0.0.1:{telephony.carrier_port}"}
    status, response = await dispatch(room_gateway, **denied)
    assert (status, response["error"]) == (403, "destination_not_allowed")


@pytest.mark.parametrize(
    ("rejection", "reason"),
    [
        ("486 Busy Here", "dial_busy"),
        # A carrier that does not accept the caller's number.
        ("403 Forbidden auth ID", "telephony_provider_permission_denied"),
        ("603 Decline", "user_declined"),
        # LiveKit reports this one by a 5xx of its own: the gateway must not dial a second time.
        ("503 Service Unavailable", "telephony_provider_unavailable"),
    ],
)
async def test_a_rejected_call_ends_with_the_sip_status(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    tmp_path: Path,
    rejection: str,
    reason: str,
) -> None:
    code, _, phrase = rejection.partition(" ")
    async with telephony.callee("reject", tmp_path, status=rejection) as callee:
        status, response = await dispatch(room_gateway)
        await callee.finished()
    assert (status, response["message"]) == (502, rejection)
    assert response["sip"] == {"status_code": int(code), "status": phrase}
    assert response["twirp"].keys() == {"code", "msg", "meta"}
    call = await latest_call(room_gateway)
    assert (call["call_status"], call["disconnection_reason"]) == ("not_connected", reason)
    assert call["sip"] == {"status": int(code), "reason": phrase}


async def test_an_unanswered_call_ends_at_the_ringing_timeout(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with telephony.callee("ring_until_cancel", tmp_path) as callee:
        status, response = await dispatch(room_gateway, ringing_timeout=2, wait="none")
        assert status == 200, response
        call_id = response["call_id"]
        await call_when(room_gateway, call_id, lambda call: call["call_status"] == "ringing")
        await callee.finished()
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == (
        "not_connected",
        "dial_no_answer",
    )


async def test_hangup_sends_bye_to_a_callee_who_has_answered(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        Telephone.at(telephony.carrier_address) as phone,
        telephony.callee("answer_until_bye", tmp_path, audio_port=str(phone.port)) as callee,
    ):
        status, response = await dispatch(room_gateway, wait="answer")
        assert status == 200, response
        await phone.greeted()
        call = await hang_up(room_gateway, response["call_id"])
        await callee.finished()
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "manual_stopped")


async def test_hangup_stops_the_ringing(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with telephony.callee("ring_until_cancel", tmp_path) as callee:
        status, response = await dispatch(room_gateway, wait="none")
        assert status == 200, response
        await callee.message("INVITE ")
        hung_up_at = time.time()
        await hang_up(room_gateway, response["call_id"])
        await callee.finished()
        assert time.time() - hung_up_at < 5, "long before the ringing timeout"
    call = await ended_call(room_gateway, response["call_id"])
    assert (call["call_status"], call["disconnection_reason"]) == (
        "not_connected",
        "manual_stopped",
    )


async def test_a_call_ends_at_its_max_duration(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        Telephone.at(telephony.carrier_address) as phone,
        telephony.callee("answer_until_bye", tmp_path, audio_port=str(phone.port)) as callee,
    ):
        status, response = await dispatch(room_gateway, wait="answer", max_call_duration=10)
        assert status == 200, response
        await callee.finished()
    call = await ended_call(room_gateway, response["call_id"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "max_duration_reached")
    assert call["duration_ms"] == pytest.approx(10_000, abs=1000)
