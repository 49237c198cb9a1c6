"""Hooks of Jambonz whose optional fields have an odd type: no caller and no hang-up is lost."""

from typing import Any

import pytest
from livekit.protocol.room import CreateRoomRequest

from tests.conftest import Client, get_call, jambonz_for, list_calls
from tests.fakes.livekit import FakeLiveKit

ODD = [5, 1.5, ["a"], {"a": [1]}, False, True, None]


@pytest.mark.field("C8")
@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_field_of_the_call_hook_counts_as_absent(
    gateway: Client, fake_livekit: FakeLiveKit, odd: Any
) -> None:
    names = ("from", "to", "caller_name", "account_sid", "call_id", "sip", "env_vars")
    verbs = await post(gateway, "/livekit-api", {"call_sid": "1", **dict.fromkeys(names, odd)})
    assert verbs[0]["verb"] == "dial"
    (call,) = (await list_calls(gateway))["calls"]
    assert (call["from_number"], call["to_number"]) == ("", "")
    (room,) = fake_livekit.requested(CreateRoomRequest)
    assert [agent.agent_name for agent in room.agents] == ["nehos-outbound-agent"]


@pytest.mark.field("C8")
@pytest.mark.parametrize("odd", ODD)
async def test_odd_settings_and_headers_count_as_absent(
    gateway: Client, fake_livekit: FakeLiveKit, odd: Any
) -> None:
    payload = {
        "call_sid": "1",
        "env_vars": {"AGENT_NAME": [odd], "ACCOUNT_CODE": " em-01 ", "OTHER": odd},
        "sip": {"headers": odd},
    }
    await post(gateway, "/livekit-api", payload)
    (call,) = (await list_calls(gateway))["calls"]
    assert (call["agent_name"], call["account_code"]) == ("nehos-outbound-agent", "em-01")


@pytest.mark.field("C8")
@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_field_of_a_status_hook_does_not_lose_the_hang_up(
    gateway: Client, odd: Any
) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    await jambonz.status("in-progress")
    names = ("parent_call_sid", "to", "sip_status", "sip_reason", "duration", "call_termination_by")
    await jambonz.status("completed", **dict.fromkeys(names, odd))
    call = await get_call(gateway, dial["headers"]["X-Call-Id"])
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


@pytest.mark.field("C8")
@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_field_of_a_dial_action_does_not_lose_the_caller(
    gateway: Client, odd: Any
) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    payload = {
        "call_sid": jambonz.call_sid,
        "call_status": "trying",
        **dict.fromkeys(("dial_call_status", "dial_sip_status", "call_termination_by"), odd),
    }
    (decline,) = await post(gateway, dial["actionHook"], payload)
    assert (decline["verb"], decline["status"]) == ("sip:decline", 503)


async def post(gateway: Client, path: str, payload: dict[str, Any]) -> list[dict[str, Any]]:
    verbs: list[dict[str, Any]] = await jambonz_for(gateway)._post(path, payload)
    return verbs


@pytest.mark.field("C1")
@pytest.mark.parametrize(
    ("dial_status", "sip", "declined", "reason"),
    [
        ("ringing", 180, 480, "dial_no_answer"),
        ("early-media", 183, 480, "dial_no_answer"),
        ("trying", 100, 480, "dial_no_answer"),
        ("failed", 200, 503, "dial_failed"),
        ("failed", 202, 503, "dial_failed"),
        ("failed", 302, 503, "sip_routing_error"),
        ("failed", 401, 503, "telephony_provider_permission_denied"),
        ("failed", 407, 503, "telephony_provider_permission_denied"),
        ("failed", 404, 404, "invalid_destination"),
        ("failed", 603, 603, "user_declined"),
    ],
)
async def test_a_caller_is_declined_with_a_failure(
    gateway: Client, dial_status: str, sip: int, declined: int, reason: str
) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    verbs = await jambonz.dial_ends(dial["actionHook"], "trying", dial_status, sip)
    assert (verbs[0]["verb"], verbs[0]["status"]) == ("sip:decline", declined)
    call = await get_call(gateway, dial["headers"]["X-Call-Id"])
    assert (call["call_status"], call["disconnection_reason"]) == ("not_connected", reason)
    assert call["sip"] == ({"status": sip, "reason": ""} if sip >= 300 else None)


@pytest.mark.field("B18")
@pytest.mark.parametrize(
    ("rings", "reason"), [(True, "dial_no_answer"), (False, "telephony_provider_unavailable")]
)
async def test_only_a_leg_that_rang_was_not_answered(
    gateway: Client, *, rings: bool, reason: str
) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    if rings:
        await jambonz.far_status("ringing", 180)
    await jambonz.dial_ends(dial["actionHook"], "trying", "no-answer", 487)
    call = await get_call(gateway, dial["headers"]["X-Call-Id"])
    assert call["disconnection_reason"] == reason
