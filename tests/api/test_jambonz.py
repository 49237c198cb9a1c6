"""Jambonz's hooks: a call from its call hook to its end, failures of LiveKit, the signature."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from livekit.protocol.room import CreateRoomRequest

from gateway.jambonz.signature import sign
from tests.conftest import Client, GatewayStarter, get_call, jambonz_for, list_calls
from tests.fakes.livekit import GARBAGE, Drop, Failure, FakeLiveKit, Hang, TwirpError
from tests.jambonz.schemas import assert_valid_verbs

FALLBACK = [
    {"sip": "sip:desk@pbx.example.com"},
    {"phone": "+15550123", "trunk": "carrier"},
    {"say": "Please call again later."},
]


async def test_the_call_hook_creates_the_room_and_dials_it(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    verbs = await jambonz_for(gateway).call_arrives()
    assert_valid_verbs(verbs)
    (room,) = fake_livekit.requested(CreateRoomRequest)
    (dial,) = verbs
    assert dial["target"] == [
        {"type": "sip", "sipUri": f"sip:{room.name}@sip.example.com;transport=tcp"}
    ]
    assert dial["answerOnBridge"] is True
    assert dial["headers"] == {"X-Call-Id": room.name}
    assert room.name.startswith("call-")
    assert [agent.agent_name for agent in room.agents] == ["nehos-outbound-agent"]
    job = json.loads(room.agents[0].metadata)
    del job["gateway"]["audible_after"], job["gateway"]["transfer_timeout"]
    assert json.loads(room.metadata)["gateway"].items() > job["gateway"].items()
    assert job["caller_number"] == "+15550100"
    assert job["gateway"]["report_url"].endswith(f"/livekit-api/calls/{room.name}/report")


async def test_a_call_is_listed_until_it_has_ended(gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    (call,) = (await list_calls(gateway))["calls"]
    assert call["call_status"] == "registered"
    assert call["from_number"] == "+15550100"
    await jambonz.status("trying", 100)
    await jambonz.far_status("ringing", 180)
    assert (await get_call(gateway, call["call_id"]))["call_status"] == "ringing"
    await jambonz.far_status("in-progress")
    await jambonz.status("in-progress")
    assert (await get_call(gateway, call["call_id"]))["call_status"] == "ongoing"
    assert await jambonz.dial_ends(dial["actionHook"], "completed", "completed", 200) == []
    await jambonz.status("completed", call_termination_by="caller")
    ended = await get_call(gateway, call["call_id"])
    assert ended["call_status"] == "ended"
    assert ended["disconnection_reason"] == "user_hangup"
    assert ended["jambonz"]["call_sid"] == jambonz.call_sid
    assert (await list_calls(gateway))["active"] == 0


async def test_a_repeated_hook_gets_the_same_call(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    jambonz = jambonz_for(gateway)
    first = await jambonz.call_arrives()
    assert await jambonz.call_arrives() == first
    assert len(fake_livekit.requested(CreateRoomRequest)) == 1


async def test_a_hook_repeated_at_the_same_moment_gets_the_same_call(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    jambonz = jambonz_for(gateway)
    first, *repeated = await asyncio.gather(*(jambonz.call_arrives() for _ in range(10)))
    assert repeated == [first] * 9
    assert len(fake_livekit.requested(CreateRoomRequest)) == 1
    assert (await list_calls(gateway))["active"] == 1


async def test_the_application_sets_agent_and_account_code(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    payload = {"call_sid": "1", "env_vars": {"AGENT_NAME": "sales", "ACCOUNT_CODE": "em-01"}}
    verbs = await post_call_hook(gateway, payload)
    assert verbs[0]["headers"]["X-Account-Code"] == "em-01"
    (room,) = fake_livekit.requested(CreateRoomRequest)
    assert room.agents[0].agent_name == "sales"
    (call,) = (await list_calls(gateway))["calls"]
    assert (call["agent_name"], call["account_code"]) == ("sales", "em-01")


async def post_call_hook(gateway: Client, payload: Mapping[str, object]) -> list[dict[str, Any]]:
    """Post a call hook with this payload only; returns the verbs."""
    verbs: list[dict[str, Any]] = await jambonz_for(gateway)._post("/livekit-api", payload)
    return verbs


@pytest.mark.parametrize(
    "number", ["anonymous", "sip:zoe@example.com", "", None, "+1 (555) 0100", "x" * 5000, "٣"]
)
async def test_a_call_with_an_unusual_number_is_registered(
    gateway: Client, number: str | None
) -> None:
    verbs = await post_call_hook(
        gateway, {"call_sid": "1", "from": number, "to": number, "new": {"a": 1}}
    )
    assert_valid_verbs(verbs)
    (call,) = (await list_calls(gateway))["calls"]
    assert call["from_number"] == (number or "")[:300]


async def test_line_breaks_in_settings_do_not_reach_headers(gateway: Client) -> None:
    verbs = await post_call_hook(
        gateway, {"call_sid": "1", "env_vars": {"ACCOUNT_CODE": "a\r\nX-Evil: 1"}}
    )
    assert verbs[0]["headers"]["X-Account-Code"] == "aX-Evil: 1"


@pytest.mark.parametrize("failure", [TwirpError(503, "unavailable", "no nodes"), Drop()])
async def test_a_transient_failure_of_livekit_is_retried(
    gateway: Client, fake_livekit: FakeLiveKit, failure: TwirpError | Drop
) -> None:
    fake_livekit.failures.append(failure)
    verbs = await jambonz_for(gateway).call_arrives()
    assert verbs[0]["verb"] == "dial"
    assert len(fake_livekit.requested(CreateRoomRequest)) == 2


@pytest.mark.parametrize(
    ("failures", "detail"),
    [
        ([TwirpError(401, "unauthenticated", "invalid API key")], "invalid API key"),
        ([TwirpError(503, "unavailable", "no nodes")] * 50, "no nodes"),
        ([Drop()] * 50, "cannot be reached"),
        ([Hang()] * 50, "did not answer within 0.5 s"),
        ([*GARBAGE] * 10, ""),
    ],
    ids=["refused", "5xx", "dropped", "hanging", "garbage"],
)
async def test_without_livekit_the_caller_is_declined_with_503(
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
    failures: list[Failure],
    detail: str,
) -> None:
    gateway = await start_gateway(livekit={"timeout": 0.5})
    fake_livekit.failures.extend(failures)
    verbs = await jambonz_for(gateway).call_arrives()
    assert_valid_verbs(verbs)
    assert verbs == [{"verb": "sip:decline", "status": 503, "reason": "Service Unavailable"}]
    listing = await list_calls(gateway, "?include=ended")
    assert listing["active"] == 0
    (call,) = listing["calls"]
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "dial_failed")
    timeline = (await get_call(gateway, call["call_id"]))["timeline"]
    (failed,) = (entry for entry in timeline if entry["event"] == "livekit_failed")
    assert detail in failed["detail"]


async def test_a_permanent_failure_of_livekit_is_not_retried(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.failures.append(TwirpError(403, "permission_denied", "no"))
    await jambonz_for(gateway).call_arrives()
    assert len(fake_livekit.requested(CreateRoomRequest)) == 1


async def test_fallback_targets_are_tried_in_order(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(inbound={"fallback": FALLBACK})
    fake_livekit.failures.append(TwirpError(403, "permission_denied", "no"))
    jambonz = jambonz_for(gateway)
    first = await jambonz.call_arrives()
    assert first[0]["target"] == [{"type": "sip", "sipUri": "sip:desk@pbx.example.com"}]
    second = await jambonz.dial_ends(first[0]["actionHook"], "trying", "failed", 503)
    assert second[0]["target"] == [{"type": "phone", "number": "+15550123", "trunk": "carrier"}]
    third = await jambonz.dial_ends(second[0]["actionHook"], "trying", "busy", 486)
    assert [verb["verb"] for verb in third] == ["say", "hangup"]
    for verbs in (first, second, third):
        assert_valid_verbs(verbs)


async def test_a_failed_dial_goes_to_the_fallback(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(inbound={"fallback": FALLBACK})
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    verbs = await jambonz.dial_ends(dial["actionHook"], "trying", "busy", 486)
    assert verbs[0]["target"] == [{"type": "sip", "sipUri": "sip:desk@pbx.example.com"}]


async def test_without_a_fallback_the_caller_gets_the_sip_status_of_the_dial(
    gateway: Client,
) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    verbs = await jambonz.dial_ends(dial["actionHook"], "trying", "busy", 486)
    assert_valid_verbs(verbs)
    assert verbs[0]["verb"] == "sip:decline"
    assert verbs[0]["status"] == 486
    (call,) = (await list_calls(gateway, "?include=ended"))["calls"]
    assert call["disconnection_reason"] == "dial_busy"
    assert call["sip"]["status"] == 486


async def test_a_call_without_an_agent_is_declined_with_480(start_gateway: GatewayStarter) -> None:
    """The room is deleted, so LiveKit answers the INVITE with 486, but no one is busy."""
    gateway = await start_gateway(inbound={"agent_timeout": 0.1}, monitor={"interval": 0.05})
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    async with asyncio.timeout(10):
        while (await list_calls(gateway))["active"]:
            await asyncio.sleep(0.01)
    (decline,) = await jambonz.dial_ends(dial["actionHook"], "trying", "busy", 486)
    assert (decline["verb"], decline["status"]) == ("sip:decline", 480)
    (call,) = (await list_calls(gateway, "?include=ended"))["calls"]
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "no_agent")


async def test_a_caller_who_has_hung_up_gets_no_fallback(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(inbound={"fallback": FALLBACK})
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    assert await jambonz.dial_ends(dial["actionHook"], "no-answer", "no-answer", 487) == []
    (call,) = (await list_calls(gateway, "?include=ended"))["calls"]
    assert call["disconnection_reason"] == "user_hangup"


async def test_the_failed_dial_of_an_unknown_call_goes_to_the_fallback(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(inbound={"fallback": FALLBACK})
    verbs = await jambonz_for(gateway).dial_ends(
        "/livekit-api/dial-action", "trying", "failed", 503
    )
    assert verbs[0]["verb"] == "dial"


async def test_above_max_active_calls_callers_are_declined_with_486(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(limits={"max_active_calls": 1})
    assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial"
    (decline,) = await jambonz_for(gateway).call_arrives()
    assert (decline["verb"], decline["status"]) == ("sip:decline", 486)
    (call,) = (await list_calls(gateway, "?status=not_connected"))["calls"]
    assert call["disconnection_reason"] == "concurrency_limit_reached"


async def test_with_a_public_url_the_action_hook_is_absolute_and_is_repeated(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway({"GATEWAY_PUBLIC_URL": "https://gw.example.com/"})
    (dial,) = await jambonz_for(gateway).call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    path = f"/livekit-api/dial-action?fallback=0&call_id={call_id}"
    assert dial["actionHook"] == f"https://gw.example.com{path}#rc=5&rp=ct,5xx"


async def test_the_portal_gets_the_settings_of_an_application_unsigned(gateway: Client) -> None:
    async with gateway.options("/livekit-api") as response:
        assert response.status == 200
        settings = await response.json()
    assert set(settings) == {"AGENT_NAME", "ACCOUNT_CODE"}
    for setting in settings.values():
        assert setting["type"] == "string"
        assert setting["description"]


SIGNED_PATHS = [
    "/livekit-api",
    "/livekit-api/dial-action",
    "/livekit-api/call-status",
    "/livekit-api/refer",
    "/livekit-api/transfer-action",
    "/livekit-api/queue-wait",
    "/livekit-api/queue-action",
    "/livekit-simple",
]


@pytest.mark.parametrize("path", SIGNED_PATHS)
@pytest.mark.parametrize(
    ("secret", "age", "message"),
    [
        (None, 0, "missing"),
        ("wh_secret_other", 0, "another secret"),
        ("wh_secret_for_tests", 400, "clock"),
    ],
)
async def test_hooks_without_a_valid_signature_are_rejected(
    gateway: Client, path: str, secret: str | None, age: int, message: str
) -> None:
    body = json.dumps({"call_sid": "1", "call_status": "trying"}).encode()
    headers = {"Content-Type": "application/json"}
    if secret:
        headers["Jambonz-Signature"] = sign(body, secret, at=int(time.time()) - age)
    async with gateway.post(path, data=body, headers=headers) as response:
        assert response.status == 401
        error = await response.json()
    assert error["error"] == "bad_signature"
    assert message in error["message"]
    assert (await list_calls(gateway, "?include=ended"))["calls"] == []


async def test_without_a_secret_hooks_need_no_signature(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway({"JAMBONZ_WEBHOOK_SECRET": ""})
    assert (await jambonz_for(gateway, secret="").call_arrives())[0]["verb"] == "dial"
