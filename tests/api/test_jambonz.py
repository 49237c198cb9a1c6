"""Jambonz's doors: a call from its hook to its end, and what happens when LiveKit is not there."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from livekit.protocol.room import CreateRoomRequest

from gateway.jambonz.signature import sign
from tests.conftest import Client, GatewayStarter, jambonz_for, listed, shown
from tests.fakes.livekit import Drop, FakeLiveKit, Hang, Refusal
from tests.jambonz.schemas import assert_valid_verbs

FALLBACK = [
    {"sip": "sip:desk@pbx.example.com"},
    {"phone": "+15550123", "trunk": "carrier"},
    {"say": "Please call again later."},
]


async def test_the_call_hook_makes_the_room_and_dials_it(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    verbs = await jambonz_for(gateway).call_arrives()
    assert_valid_verbs(verbs)
    (order,) = fake_livekit.requested(CreateRoomRequest)
    (dial,) = verbs
    assert dial["target"] == [
        {"type": "sip", "sipUri": f"sip:{order.name}@sip.example.com;transport=tcp"}
    ]
    assert dial["answerOnBridge"] is True
    assert dial["headers"] == {"X-Call-Id": order.name}
    assert order.name.startswith("call-")
    assert [agent.agent_name for agent in order.agents] == ["nehos-outbound-agent"]
    told = json.loads(order.agents[0].metadata)
    assert json.loads(order.metadata)["gateway"].items() > told["gateway"].items()
    assert told["caller_number"] == "+15550100"
    assert told["gateway"]["report_url"].endswith(f"/livekit-api/calls/{order.name}/report")


async def test_the_call_is_listed_while_it_lasts(gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    (call,) = (await listed(gateway))["calls"]
    assert call["call_status"] == "registered"
    assert call["from_number"] == "+15550100"
    await jambonz.status("trying", 100)
    await jambonz.far_status("ringing", 180)
    assert (await shown(gateway, call["call_id"]))["call_status"] == "ringing"
    await jambonz.far_status("in-progress")
    await jambonz.status("in-progress")
    assert (await shown(gateway, call["call_id"]))["call_status"] == "ongoing"
    assert await jambonz.dial_ends(dial["actionHook"], "completed", "completed", 200) == []
    await jambonz.status("completed", call_termination_by="caller")
    ended = await shown(gateway, call["call_id"])
    assert ended["call_status"] == "ended"
    assert ended["disconnection_reason"] == "user_hangup"
    assert ended["jambonz"]["call_sid"] == jambonz.call_sid
    assert (await listed(gateway))["active"] == 0


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
    first, *others = await asyncio.gather(*(jambonz.call_arrives() for _ in range(10)))
    assert others == [first] * 9
    assert len(fake_livekit.requested(CreateRoomRequest)) == 1
    assert (await listed(gateway))["active"] == 1


async def test_the_application_chooses_agent_and_account_code(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    content = {
        "call_sid": "1",
        "env_vars": {"AGENT_NAME": "sales"},
        "sip": {"headers": {"x-account-code": "em-01"}},
    }
    verbs = await post(gateway, content)
    assert verbs[0]["headers"]["X-Account-Code"] == "em-01"
    (order,) = fake_livekit.requested(CreateRoomRequest)
    assert order.agents[0].agent_name == "sales"
    (call,) = (await listed(gateway))["calls"]
    assert (call["agent_name"], call["account_code"]) == ("sales", "em-01")


async def post(gateway: Client, content: Mapping[str, object]) -> list[dict[str, Any]]:
    """A call hook with just this content; its verbs."""
    verbs: list[dict[str, Any]] = await jambonz_for(gateway)._post("/livekit-api", content)
    return verbs


@pytest.mark.parametrize(
    "number", ["anonymous", "sip:zoe@example.com", "", None, "+1 (555) 0100", "x" * 5000, "٣"]
)
async def test_odd_numbers_are_calls_like_any_other(gateway: Client, number: str | None) -> None:
    verbs = await post(gateway, {"call_sid": "1", "from": number, "to": number, "new": {"a": 1}})
    assert_valid_verbs(verbs)
    (call,) = (await listed(gateway))["calls"]
    assert call["from_number"] == (number or "")[:300]


async def test_text_of_others_cannot_break_a_header(gateway: Client) -> None:
    verbs = await post(gateway, {"call_sid": "1", "env_vars": {"ACCOUNT_CODE": "a\r\nX-Evil: 1"}})
    assert verbs[0]["headers"]["X-Account-Code"] == "aX-Evil: 1"


@pytest.mark.parametrize("failure", [Refusal(503, "unavailable", "no nodes"), Drop()])
async def test_a_passing_fault_of_livekits_is_repeated(
    gateway: Client, fake_livekit: FakeLiveKit, failure: Refusal | Drop
) -> None:
    fake_livekit.failures.append(failure)
    verbs = await jambonz_for(gateway).call_arrives()
    assert verbs[0]["verb"] == "dial"
    assert len(fake_livekit.requested(CreateRoomRequest)) == 2


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ([Refusal(401, "unauthenticated", "invalid API key")], "invalid API key"),
        ([Refusal(503, "unavailable", "no nodes")] * 50, "no nodes"),
        ([Drop()] * 50, "cannot be reached"),
        ([Hang()] * 50, "did not answer within 0.5 s"),
    ],
    ids=["refused", "5xx", "dropped", "hanging"],
)
async def test_without_livekit_the_caller_is_refused_with_503(
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
    failures: list[Refusal | Drop | Hang],
    said: str,
) -> None:
    gateway = await start_gateway(livekit={"timeout": 0.5})
    fake_livekit.failures.extend(failures)
    verbs = await jambonz_for(gateway).call_arrives()
    assert_valid_verbs(verbs)
    assert verbs == [{"verb": "sip:decline", "status": 503, "reason": "Service Unavailable"}]
    listing = await listed(gateway, "?include=ended")
    assert listing["active"] == 0
    (call,) = listing["calls"]
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "dial_failed")
    timeline = (await shown(gateway, call["call_id"]))["timeline"]
    assert said in next(e["detail"] for e in timeline if e["event"] == "livekit_failed")


async def test_a_refusal_is_not_repeated(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    fake_livekit.failures.append(Refusal(403, "permission_denied", "no"))
    await jambonz_for(gateway).call_arrives()
    assert len(fake_livekit.requested(CreateRoomRequest)) == 1


async def test_the_fallbacks_are_tried_in_order(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(inbound={"fallback": FALLBACK})
    fake_livekit.failures.append(Refusal(403, "permission_denied", "no"))
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


async def test_without_a_fallback_a_failed_dial_passes_its_sip_status_on(gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    verbs = await jambonz.dial_ends(dial["actionHook"], "trying", "busy", 486)
    assert_valid_verbs(verbs)
    assert verbs[0]["verb"] == "sip:decline"
    assert verbs[0]["status"] == 486
    (call,) = (await listed(gateway, "?include=ended"))["calls"]
    assert call["disconnection_reason"] == "dial_busy"
    assert call["sip"]["status"] == 486


async def test_a_call_that_no_agent_came_for_is_not_busy(start_gateway: GatewayStarter) -> None:
    """Its room is deleted, which LiveKit answers with 486."""
    gateway = await start_gateway(inbound={"agent_timeout": 0.1}, monitor={"interval": 0.05})
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    async with asyncio.timeout(10):
        while (await listed(gateway))["active"]:
            await asyncio.sleep(0.01)
    (decline,) = await jambonz.dial_ends(dial["actionHook"], "trying", "busy", 486)
    assert (decline["verb"], decline["status"]) == ("sip:decline", 480)
    (call,) = (await listed(gateway, "?include=ended"))["calls"]
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "no_agent")


async def test_a_caller_who_hung_up_needs_no_fallback(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(inbound={"fallback": FALLBACK})
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    assert await jambonz.dial_ends(dial["actionHook"], "no-answer", "no-answer", 487) == []
    (call,) = (await listed(gateway, "?include=ended"))["calls"]
    assert call["disconnection_reason"] == "user_hangup"


async def test_a_dial_that_this_gateway_does_not_know_is_still_answered(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(inbound={"fallback": FALLBACK})
    verbs = await jambonz_for(gateway).dial_ends(
        "/livekit-api/dial-action", "trying", "failed", 503
    )
    assert verbs[0]["verb"] == "dial"


async def test_at_the_cap_callers_hear_busy(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(limits={"max_active_calls": 1})
    assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial"
    (decline,) = await jambonz_for(gateway).call_arrives()
    assert (decline["verb"], decline["status"]) == ("sip:decline", 486)
    (call,) = (await listed(gateway, "?status=not_connected"))["calls"]
    assert call["disconnection_reason"] == "concurrency_limit_reached"


async def test_with_a_public_url_the_action_hook_is_absolute_and_repeatable(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway({"GATEWAY_PUBLIC_URL": "https://gw.example.com/"})
    (dial,) = await jambonz_for(gateway).call_arrives()
    url = "https://gw.example.com/livekit-api/dial-action?fallback=0#rc=3&rp=ct,5xx"
    assert dial["actionHook"] == url


async def test_the_portal_may_ask_unsigned_what_there_is_to_set(gateway: Client) -> None:
    async with gateway.options("/livekit-api") as answer:
        assert answer.status == 200
        settings = await answer.json()
    assert set(settings) == {"AGENT_NAME", "ACCOUNT_CODE"}
    for setting in settings.values():
        assert setting["type"] == "string"
        assert setting["description"]


SIGNED_DOORS = [
    "/livekit-api",
    "/livekit-api/dial-action",
    "/livekit-api/call-status",
    "/livekit-api/refer",
    "/livekit-api/transfer-action",
    "/livekit-api/queue-wait",
    "/livekit-api/queue-action",
    "/livekit-simple",
]


@pytest.mark.parametrize("door", SIGNED_DOORS)
@pytest.mark.parametrize(
    ("secret", "age", "said"),
    [
        (None, 0, "missing"),
        ("wh_secret_other", 0, "none of the configured"),
        ("wh_secret_for_tests", 400, "clock"),
    ],
)
async def test_hooks_that_are_not_signed_are_refused(
    gateway: Client, door: str, secret: str | None, age: int, said: str
) -> None:
    body = json.dumps({"call_sid": "1", "call_status": "trying"}).encode()
    headers = {"Content-Type": "application/json"}
    if secret:
        headers["Jambonz-Signature"] = sign(body, secret, at=int(time.time()) - age)
    async with gateway.post(door, data=body, headers=headers) as answer:
        assert answer.status == 401
        refusal = await answer.json()
    assert refusal["error"] == "bad_signature"
    assert said in refusal["message"]
    assert (await listed(gateway, "?include=ended"))["calls"] == []


async def test_without_a_secret_hooks_need_no_signature(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway({"JAMBONZ_WEBHOOK_SECRET": ""})
    assert (await jambonz_for(gateway, secret="").call_arrives())[0]["verb"] == "dial"
