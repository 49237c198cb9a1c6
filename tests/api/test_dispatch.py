"""`POST /dispatch` from the request to the dial, and what it answers when something refuses."""

import asyncio
import json
import re
from typing import Any

import pytest
from livekit.protocol.room import CreateRoomRequest, DeleteRoomRequest
from livekit.protocol.sip import CreateSIPParticipantRequest

from gateway.lifecycle import dialing
from tests.conftest import DISPATCH_KEY, Client, GatewayStarter, get_call, list_calls
from tests.fakes.livekit import GARBAGE, Callee, Drop, FakeLiveKit, Hang, Raw, TwirpError

#: A request with every field that reaches the agent.
GUIDE = {
    "destination": "61402012298",
    "account_code": "em-tech-01",
    "transfer_target": "61731071901",
    "caller_id": "LiveKitNehosHosted",
    "caller_number": "+61123456789",
    "caller_name": "LiveKit Nehos Hosted",
    "metadata": {"ticket_id": "INC-1234"},
}
LEAST = {"destination": "61402012298", "account_code": "em-tech-01"}
HEADERS = {"X-API-Key": DISPATCH_KEY}


async def dispatch(
    gateway: Client, content: object = None, *, headers: dict[str, str] | None = None, **more: Any
) -> tuple[int, dict[str, Any]]:
    body = content if content is not None else {**GUIDE, **more}
    async with gateway.post("/dispatch", json=body, headers=HEADERS | (headers or {})) as answer:
        return answer.status, await answer.json()


async def the_call(gateway: Client) -> dict[str, Any]:
    (call,) = (await list_calls(gateway, "?include=ended"))["calls"]
    return await get_call(gateway, call["call_id"])


async def until(gateway: Client, call_id: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while (call := await get_call(gateway, call_id))["call_status"] != status:
            await asyncio.sleep(0.01)
    return call


async def test_the_guides_request_has_the_guides_answer(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    status, answer = await dispatch(gateway)
    assert status == 200
    assert re.fullmatch(r"outbound-[0-9a-f]{10}", answer["room"])
    assert answer == {
        "dispatch_id": "AD_1",
        "job_id": "AJ_1",
        "room": answer["room"],
        "agent_name": "nehos-outbound-agent",
        "metadata": {
            "destination": "61402012298",
            "account_code": "em-tech-01",
            "transfer_target": "61731071901",
            "caller_id": "LiveKitNehosHosted",
            "caller_number": "+61123456789",
            "caller_name": "LiveKit Nehos Hosted",
            "ticket_id": "INC-1234",
        },
        "call_id": answer["room"],
        "call_status": "ongoing",
    }
    assert list(answer["metadata"]) == [*list(GUIDE)[:-1], "ticket_id"]


async def test_what_livekit_is_asked_for(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    _, answer = await dispatch(
        gateway, max_call_duration=60, ringing_timeout=20, session_options={"voice": "a"}
    )
    (room,) = fake_livekit.requested(CreateRoomRequest)
    (agent,) = room.agents
    assert agent.agent_name == "nehos-outbound-agent"
    job = json.loads(agent.metadata)
    assert job.pop("gateway") == {
        "call_id": answer["call_id"],
        "direction": "outbound",
        "from_number": "+61123456789",
        "to_number": "61402012298",
        "report_url": f"http://127.0.0.1:8000/livekit-api/calls/{answer['call_id']}/report",
        "max_call_duration": 60,
        "caller_identity": "LiveKitNehosHosted",
        "trunk": "",
        "session_options": {"voice": "a"},
        "record_call": False,
    }
    assert job == answer["metadata"]
    (leg,) = fake_livekit.requested(CreateSIPParticipantRequest)
    assert leg.room_name == answer["room"]
    assert leg.sip_trunk_id == "ST_1"
    assert leg.sip_call_to == "61402012298"
    assert leg.sip_number == "+61123456789"
    assert leg.display_name == "LiveKit Nehos Hosted"
    assert leg.participant_identity == "LiveKitNehosHosted"
    assert dict(leg.headers) == {"X-Account-Code": "em-tech-01"}
    assert (leg.ringing_timeout.seconds, leg.max_call_duration.seconds) == (20, 65)
    assert leg.wait_until_answered


async def test_without_a_caller_number_the_caller_id_is_the_from_user(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    await dispatch(gateway, {**LEAST, "caller_id": "LiveKitNehosHosted"})
    (leg,) = fake_livekit.requested(CreateSIPParticipantRequest)
    assert leg.sip_number == "LiveKitNehosHosted"


@pytest.mark.parametrize(
    ("destination", "to", "hostname"),
    [
        ("61402012298", "61402012298", ""),
        ("+61402012298", "+61402012298", ""),
        ("tel:+61402012298", "+61402012298", ""),
        ("sip:desk@pbx.example.com", "desk", "pbx.example.com"),
        ("sip:desk@pbx.example.com:5080", "desk", "pbx.example.com:5080"),
    ],
)
async def test_destinations(
    gateway: Client, fake_livekit: FakeLiveKit, destination: str, to: str, hostname: str
) -> None:
    status, answer = await dispatch(gateway, destination=destination, transfer_target=destination)
    assert status == 200
    (leg,) = fake_livekit.requested(CreateSIPParticipantRequest)
    assert (leg.sip_call_to, leg.trunk.hostname) == (to, hostname)
    assert leg.sip_trunk_id == ("" if hostname else "ST_1")
    assert answer["metadata"]["transfer_target"] == destination


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            ("destination", value)
            for value in (
                "",
                "anonymous",
                "1",
                "+",
                "tel:x",
                "sip:a",
                "sip:a@b c",
                "sips:a@b",
                True,
                61402.5,
            )
        ],
        ("transfer_target", "nobody"),
        ("destination", None),
        ("account_code", None),
        ("account_code", 'a"b'),
        ("caller_name", "a\r\nX-Evil: 1"),
        ("metadata", ["a"]),
        ("metadata", {"destination": "1"}),
        ("metadata", {"gateway": 1}),
        ("max_call_duration", 5),
        ("ringing_timeout", 0),
        ("session_options", "loud"),
        ("wait", "forever"),
        ("callback_url", "ftp://example.com"),
        ("callback_url", "http://127.0.0.1/"),
        ("callback_url", "http://localhost:5678/"),
        ("callback_url", "http://[::1]/"),
        ("callback_url", "http://10.0.0.1/?a=b"),
        ("callback_url", "https://user:password@example.com/"),
        ("callback_events", ["call_rang"]),
        ("destinaton", "61402012298"),
    ],
)
async def test_what_cannot_be_used_is_named_and_nothing_happens(
    gateway: Client, fake_livekit: FakeLiveKit, field: str, value: object
) -> None:
    status, error = await dispatch(gateway, {**GUIDE, field: value})
    assert status == 422
    assert error["error"] == "invalid"
    assert list(error["details"]) == [field]
    assert not fake_livekit.requests
    assert (await list_calls(gateway, "?include=ended"))["calls"] == []


async def test_refused_by_the_carrier(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    fake_livekit.callees["61402012298"] = Callee(sip=(403, "Forbidden auth ID"))
    status, error = await dispatch(gateway)
    assert status == 502
    assert error["message"] == "403 Forbidden auth ID"
    assert error["call_id"] == (await the_call(gateway))["call_id"]
    assert error["sip"] == {"status_code": 403, "status": "Forbidden auth ID"}
    assert error["twirp"]["code"] == "permission_denied"
    assert error["twirp"]["meta"]["sip_status"] == "Forbidden auth ID"
    call = await the_call(gateway)
    assert call["call_status"] == "not_connected"
    assert call["disconnection_reason"] == "telephony_provider_permission_denied"
    assert call["sip"] == {"status": 403, "reason": "Forbidden auth ID"}


async def test_early_waits_no_longer_than_its_window(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(outbound={"early_failure_window": 0.05})
    answered = asyncio.Event()
    fake_livekit.callees["61402012298"] = Callee(rings=answered)
    status, answer = await dispatch(gateway)
    assert (status, answer["call_status"]) == (200, "ringing")
    answered.set()
    call = await until(gateway, answer["call_id"], "ongoing")
    assert call["answer_timestamp"] is not None


async def test_waiting_for_the_answer(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(outbound={"early_failure_window": 0})
    rings = asyncio.Event()
    fake_livekit.callees["61402012298"] = Callee(rings=rings, sip=(486, "Busy Here"))
    asking = asyncio.create_task(dispatch(gateway, wait="answer"))
    async with asyncio.timeout(5):
        while not fake_livekit.requested(CreateSIPParticipantRequest):
            await asyncio.sleep(0.01)
    assert not asking.done()
    rings.set()
    status, error = await asking
    assert (status, error["message"]) == (502, "486 Busy Here")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (TwirpError(401, "unauthenticated", "invalid API key"), (502, "livekit_refused")),
        (Hang(), (503, "livekit_unreachable")),
    ],
)
@pytest.mark.parametrize("step", ["CreateRoom", "ListDispatch"])
async def test_a_livekit_that_refuses_or_is_away_leaves_nothing_open(
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
    failure: TwirpError | Hang,
    expected: tuple[int, str],
    step: str,
) -> None:
    gateway = await start_gateway(livekit={"timeout": 1.0}, monitor={"interval": 0.05})
    before = ["CreateRoom", "ListDispatch"].index(step)
    # An attempt on a connection that was used before is repeated.
    times = 2 if isinstance(failure, Hang) else 1
    fake_livekit.failures.extend([*[None] * before, *[failure] * times])
    answered, error = await dispatch(gateway)
    assert (answered, error["error"]) == expected
    assert fake_livekit.requests[before][0] == step
    call = await the_call(gateway)
    assert error["call_id"] == call["call_id"]
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "dial_failed")
    await nothing_is_open(fake_livekit)
    assert not fake_livekit.requested(CreateSIPParticipantRequest)


async def nothing_is_open(fake_livekit: FakeLiveKit) -> None:
    async with asyncio.timeout(5):
        while fake_livekit.rooms or not fake_livekit.requested(DeleteRoomRequest):
            await asyncio.sleep(0.01)


async def test_an_unknown_trunk(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    missing = TwirpError(404, "not_found", "requested sip trunk does not exist")
    fake_livekit.callees["61402012298"] = Callee(failure=missing)
    status, error = await dispatch(gateway)
    assert (status, error["message"]) == (502, "requested sip trunk does not exist")
    assert "sip" not in error


async def test_no_worker_takes_the_job(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(outbound={"agent_timeout": 0.2}, monitor={"interval": 0.05})
    status, error = await dispatch(gateway, agent_name="sales")
    assert (status, error["error"]) == (503, "no_agent")
    assert "'sales'" in error["message"]
    call = await the_call(gateway)
    assert error["call_id"] == call["call_id"]
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "no_agent")
    await nothing_is_open(fake_livekit)


async def test_a_dispatch_whose_answer_was_lost_is_not_made_twice(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.lost_answers.append("CreateRoom")
    status, _ = await dispatch(gateway)
    assert status == 200
    assert len(fake_livekit.dispatches) == 1


@pytest.mark.field("D1")
@pytest.mark.parametrize("failure", [Drop(), *(raw for raw in GARBAGE if raw.status == 200)])
async def test_a_dial_whose_answer_was_lost_is_followed_not_repeated(
    gateway: Client, fake_livekit: FakeLiveKit, failure: Drop | Raw
) -> None:
    fake_livekit.callees["61402012298"] = Callee(failure=failure, is_connected=True)
    status, answer = await dispatch(gateway)
    assert status == 200
    await until(gateway, answer["call_id"], "ongoing")
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 1


async def test_a_dial_that_came_to_nothing_is_not_made_again(
    gateway: Client, fake_livekit: FakeLiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialing, "DIAL_MARGIN", 0)
    fake_livekit.callees["61402012298"] = Callee(failure=Drop())
    for _ in range(2):
        status, error = await dispatch(
            gateway, wait="answer", ringing_timeout=1, idempotency_key="one"
        )
        assert (status, error["error"]) == (504, "not_answered")
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 1


async def test_an_agent_that_dials_for_itself(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(
        {"SIP_OUTBOUND_TRUNK_ID": ""}, outbound={"dialed_by": "agent", "early_failure_window": 0}
    )
    status, answer = await dispatch(gateway)
    assert status == 200
    assert answer["call_status"] in {"registered", "ringing"}
    assert not fake_livekit.requested(CreateSIPParticipantRequest)


async def test_without_a_trunk_there_is_no_dialing(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway({"SIP_OUTBOUND_TRUNK_ID": ""})
    status, error = await dispatch(gateway)
    assert (status, error["error"]) == (503, "no_trunk")
