"""LiveKit's webhooks and the agent's reports: proven, deduplicated, and what they do to a call."""

import asyncio
import base64
import hashlib
import json
from typing import Any

import pytest
from livekit.protocol.models import DisconnectReason, ParticipantInfo

from tests.conftest import Client, GatewayStarter, get_call, jambonz_for
from tests.fakes import webhooks
from tests.fakes.livekit import KEY, SECRET

SIP = ParticipantInfo.Kind.SIP
AGENT = ParticipantInfo.Kind.AGENT


async def send(
    gateway: Client,
    path: str,
    body: bytes,
    *,
    secret: str = SECRET,
    kind: str = "application/webhook+json",
) -> int:
    token = webhooks.authorization(body, secret=secret)
    headers = {"Authorization": token, "Content-Type": kind}
    if path.endswith("/report"):
        headers["Content-Type"] = "application/json"
    async with gateway.post(path, data=body, headers=headers) as answer:
        return answer.status


def webhook(name: str, room: str, kind: Any = None, **participant: Any) -> bytes:
    who = None if kind is None else ParticipantInfo(kind=kind, identity="who", **participant)
    return webhooks.webhook(f"EV_{name}_{kind}", name, room, who)


async def registered(gateway: Client) -> str:
    (dial,) = await jambonz_for(gateway).call_arrives()
    call_id: str = dial["headers"]["X-Call-Id"]
    return call_id


async def tell(gateway: Client, call_id: str, event: str, detail: str = "", **more: Any) -> int:
    body = json.dumps({"event": event, "job_id": "AJ_1", "detail": detail, **more}).encode()
    return await send(gateway, f"/livekit-api/calls/{call_id}/report", body)


async def test_webhooks_move_the_call_on(gateway: Client) -> None:
    call_id = await registered(gateway)
    attributes = {"sip.callID": "SCL_1", "sip.ruleID": "SDR_1"}
    for body in (
        webhook("room_started", call_id),
        webhook("participant_joined", call_id, AGENT),
        webhook("participant_joined", call_id, SIP, attributes=attributes),
        webhook("track_published", call_id, SIP),
    ):
        assert await send(gateway, "/livekit/webhook", body) == 204
    call = await get_call(gateway, call_id)
    assert call["call_status"] == "ringing"
    assert call["livekit"]["sip_call_id"] == "SCL_1"
    events = [entry["event"] for entry in call["timeline"]]
    assert events == ["registered", "room_created", "agent_joined", "caller_joined"]


@pytest.mark.parametrize(
    ("why", "status", "reason"),
    [
        (DisconnectReason.CLIENT_INITIATED, "ended", "user_hangup"),
        (DisconnectReason.ROOM_DELETED, "ended", "agent_hangup"),
        (77, "error", "connection_lost"),  # a reason of a newer LiveKit's
    ],
)
async def test_who_ended_a_conversation(
    start_gateway: GatewayStarter, why: Any, status: str, reason: str
) -> None:
    gateway = await start_gateway(monitor={"interval": 0.05})
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    await jambonz.status("in-progress")
    call_id = dial["headers"]["X-Call-Id"]
    attributes = {"sip.ruleID": "SDR_1"}
    left = webhook("participant_left", call_id, SIP, disconnect_reason=why, attributes=attributes)
    await send(gateway, "/livekit/webhook", left)
    async with asyncio.timeout(10):  # LiveKit's list may decide, 2 s later
        while not (call := await get_call(gateway, call_id))["end_timestamp"]:
            await asyncio.sleep(0.05)
    assert (call["call_status"], call["disconnection_reason"]) == (status, reason)


async def test_a_listener_is_not_the_caller(gateway: Client) -> None:
    call_id = await registered(gateway)
    standard = ParticipantInfo.Kind.STANDARD
    await send(gateway, "/livekit/webhook", webhook("participant_joined", call_id, standard))
    assert (await get_call(gateway, call_id))["call_status"] == "registered"


async def test_webhooks_about_other_rooms_are_none_of_ours(gateway: Client) -> None:
    assert await send(gateway, "/livekit/webhook", webhook("room_finished", "theirs")) == 204


async def test_a_webhook_must_be_signed_by_our_livekit(gateway: Client) -> None:
    call_id = await registered(gateway)
    body = webhook("room_finished", call_id)
    assert await send(gateway, "/livekit/webhook", body, secret="x" * 32) == 401
    async with gateway.post("/livekit/webhook", data=body) as answer:
        assert answer.status == 401
    assert (await get_call(gateway, call_id))["call_status"] == "registered"


async def test_the_agent_reports_how_it_goes(gateway: Client) -> None:
    call_id = await registered(gateway)
    assert await tell(gateway, call_id, "agent_ready") == 204
    assert await tell(gateway, call_id, "agent_ended", "caller left") == 204
    call = await get_call(gateway, call_id)
    assert call["livekit"]["job_id"] == "AJ_1"
    entries = [(entry["event"], entry["detail"]) for entry in call["timeline"]]
    assert entries[-2:] == [("agent_ready", ""), ("agent_ended", "caller left")]


async def test_a_report_about_a_call_that_is_not_known_is_taken(gateway: Client) -> None:
    assert await tell(gateway, "call-unknown", "agent_ended") == 204


async def test_an_agents_failure_ends_the_call(gateway: Client) -> None:
    call_id = await registered(gateway)
    await tell(gateway, call_id, "agent_failed", "ValueError: no model")
    call = await get_call(gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "agent_error")
    assert "ValueError: no model" in [entry["detail"] for entry in call["timeline"]]


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("agent_hangup", "ended"),
        ("inactivity", "ended"),
        ("max_duration_reached", "ended"),
        ("voicemail_reached", "ended"),
        ("agent_error", "error"),
    ],
)
async def test_an_agent_says_why_it_ends_the_call(
    gateway: Client, reason: str, status: str
) -> None:
    call_id = await registered(gateway)
    await tell(gateway, call_id, "answered")
    ended = await tell(gateway, call_id, "agent_ended", "its words", disconnection_reason=reason)
    assert ended == 204
    call = await get_call(gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == (status, reason)
    assert "its words" in [entry["detail"] for entry in call["timeline"]]


async def test_a_worker_tells_that_its_agent_is_mute(gateway: Client) -> None:
    call_id = await registered(gateway)
    silence = {"at": 1_800_000_000_000, "duration_ms": 6_120}
    assert await tell(gateway, call_id, "agent_silent", "no audio", silence=silence) == 204
    call = await get_call(gateway, call_id)
    assert call["agent_silences"] == [silence]
    entry = call["timeline"][-1]
    assert (entry["event"], entry["detail"]) == ("agent_silent", "for 6.1 s: no audio")


@pytest.mark.parametrize(
    "silence", [None, {}, {"at": 1}, {"at": 1, "duration_ms": 0}, {"at": 1.5, "duration_ms": 1}]
)
async def test_a_silence_has_a_time_and_a_duration(gateway: Client, silence: Any) -> None:
    call_id = await registered(gateway)
    assert await tell(gateway, call_id, "agent_silent", silence=silence) == 422
    assert (await get_call(gateway, call_id))["agent_silences"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "agent_ready", "silence": {"at": 1, "duration_ms": 5}},
        {"event": "agent_ended", "disconnection_reason": "user_hangup"},
        {"event": "agent_ended", "disconnection_reason": "bored"},
        {"event": "agent_ready", "disconnection_reason": "inactivity"},
    ],
)
async def test_an_agent_ends_a_call_for_its_own_reasons_only(
    gateway: Client, wrong: dict[str, Any]
) -> None:
    call_id = await registered(gateway)
    await tell(gateway, call_id, "answered")
    assert await tell(gateway, call_id, **wrong) == 422
    assert (await get_call(gateway, call_id))["call_status"] == "ongoing"


@pytest.mark.field("F5")
@pytest.mark.parametrize(
    "claims",
    [
        {"video": 5},
        {"video": [1]},
        {"sip": "x"},
        {"inference": 1},
        {"roomConfig": {"agents": "x"}},
        {"sha256": 5},
        {"sha256": ["a"]},
        {"sha256": "\u00e9"},
        {"exp": {}},
        {"exp": float("inf")},
        {"nbf": [1]},
        {"iat": "x"},
        {"sub": 5},
        {"jti": 5},
        {"iss": 5},
    ],
)
async def test_a_signed_token_with_odd_claims_authenticates_nothing(
    gateway: Client, claims: dict[str, Any]
) -> None:
    body = webhook("room_started", "call-1")
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    token = webhooks.signed({"iss": KEY, "exp": 2**33, "sha256": digest, **claims})
    headers = {"Authorization": token, "Content-Type": "application/webhook+json"}
    for path in ("/livekit/webhook", "/livekit-api/calls/call-1/report"):
        async with gateway.post(path, data=body, headers=headers) as answer:
            assert answer.status == 401, await answer.text()
            assert (await answer.json())["error"] == "bad_token"
