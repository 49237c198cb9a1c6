"""Calls that n8n asks for, through a real livekit-sip to a callee played by SIPp."""

import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.sip.conftest import hang_up, shown
from tests.sip.parts import Telephony
from tests.sip.telephone import Telephone

#: The n8n guide's request.
GUIDE = {
    "destination": "61402012298",
    "account_code": "em-tech-01",
    "caller_number": "+61123456789",
    "caller_name": "LiveKit Nehos Hosted",
    "caller_id": "LiveKitNehosHosted",
    "metadata": {"ticket_id": "INC-1234"},
}


async def dispatch(n8n: aiohttp.ClientSession, **more: Any) -> tuple[int, Any]:
    """Status and content of the answer to the guide's request with `more`."""
    async with n8n.post("/dispatch", json=GUIDE | more) as answer:
        return answer.status, await answer.json()


async def latest(n8n: aiohttp.ClientSession) -> Any:
    """The call that was made last: a refused dispatch is not answered with its id."""
    async with n8n.get("/livekit-api/calls?include=ended&limit=1") as answer:
        (call,) = (await answer.json())["calls"]
    return await shown(n8n, call["call_id"], lambda c: c["end_timestamp"])


async def test_a_callee_who_answers_talks_and_hangs_up(
    telephony: Telephony, n8n: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        Telephone.at(telephony.address) as phone,
        telephony.callee("answer", tmp_path, audio_port=str(phone.port)) as callee,
    ):
        asked_at = time.time()
        status, answer = await dispatch(n8n, wait="answer")
        assert status == 200, answer
        assert answer["call_status"] == "ongoing"
        assert answer["metadata"] == {k: v for k, v in GUIDE.items() if k != "metadata"} | {
            "ticket_id": "INC-1234"
        }
        await phone.echoed()
        callee.tell()
        await callee.played()
    assert callee.invited_at.timestamp() - asked_at < 5
    assert callee.dialed.startswith(f"sip:61402012298@{telephony.address}:")
    assert callee.header("From").startswith('"LiveKit Nehos Hosted" <sip:+61123456789@')
    assert callee.header("X-Account-Code") == "em-tech-01"
    call = await shown(n8n, answer["call_id"], lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
    assert call["duration_ms"] > 1000, "the echo's second at least"


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        ("486 Busy Here", "dial_busy"),
        # A carrier that does not let this caller's number pass.
        ("403 Forbidden auth ID", "dial_failed"),
        ("603 Decline", "user_declined"),
        # What LiveKit reports as its own 5xx: it must not be dialed a second time.
        ("503 Service Unavailable", "dial_failed"),
    ],
)
async def test_a_call_that_is_refused(
    telephony: Telephony, n8n: aiohttp.ClientSession, tmp_path: Path, refusal: str, reason: str
) -> None:
    code, _, words = refusal.partition(" ")
    async with telephony.callee("refuse", tmp_path, status=refusal) as callee:
        status, answer = await dispatch(n8n)
        await callee.played()
    assert (status, answer["message"]) == (502, refusal)
    assert answer["sip"] == {"status_code": int(code), "status": words}
    assert answer["twirp"].keys() == {"code", "msg", "meta"}
    call = await latest(n8n)
    assert (call["call_status"], call["disconnection_reason"]) == ("not_connected", reason)
    assert call["sip"] == {"status": int(code), "reason": words}


async def test_a_callee_who_does_not_answer(
    telephony: Telephony, n8n: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with telephony.callee("ring", tmp_path) as callee:
        status, answer = await dispatch(n8n, ringing_timeout=2, wait="none")
        assert status == 200, answer
        await shown(n8n, answer["call_id"], lambda c: c["call_status"] == "ringing")
        await callee.played()
    call = await shown(n8n, answer["call_id"], lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == (
        "not_connected",
        "dial_no_answer",
    )


async def test_hanging_up_lets_a_callee_go_who_has_answered(
    telephony: Telephony, n8n: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        Telephone.at(telephony.address) as phone,
        telephony.callee("answer_and_stay", tmp_path, audio_port=str(phone.port)) as callee,
    ):
        status, answer = await dispatch(n8n, wait="answer")
        assert status == 200, answer
        await phone.greeted()
        call = await hang_up(n8n, answer["call_id"])
        await callee.played()
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "manual_stopped")


async def test_hanging_up_stops_the_ringing(
    telephony: Telephony, n8n: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with telephony.callee("ring", tmp_path) as callee:
        status, answer = await dispatch(n8n, wait="none")
        assert status == 200, answer
        await callee.invited()
        asked_at = time.time()
        await hang_up(n8n, answer["call_id"])
        await callee.played()
        assert time.time() - asked_at < 5, "long before it would have stopped by itself"
    call = await shown(n8n, answer["call_id"], lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == (
        "not_connected",
        "manual_stopped",
    )


async def test_a_call_that_is_too_long(
    telephony: Telephony, n8n: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        Telephone.at(telephony.address) as phone,
        telephony.callee("answer_and_stay", tmp_path, audio_port=str(phone.port)) as callee,
    ):
        status, answer = await dispatch(n8n, wait="answer", max_call_duration=10)
        assert status == 200, answer
        await callee.played()
    call = await shown(n8n, answer["call_id"], lambda c: c["end_timestamp"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "max_duration_reached")
    assert call["duration_ms"] == pytest.approx(10_000, abs=1000)
