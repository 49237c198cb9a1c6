"""Transfers: by the agent's REFER, over HTTP, and their callbacks."""

from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.sip import TransferSIPParticipantRequest

from gateway.api.services import SERVICES
from gateway.calls.call import Call
from gateway.tools.simulate.jambonz import HookRefused, Jambonz
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter, get_call, jambonz_for
from tests.fakes.livekit import FakeLiveKit, TwirpError
from tests.fakes.receiver import Receiver
from tests.jambonz.schemas import assert_valid_verbs

TARGET = "+61491570156"
SETTINGS: dict[str, Any] = {
    "transfer": {"allowed": ["+61*", "sip:*@pbx.example.com"], "trunk": "carrier"}
}
SIP = ParticipantInfo.Kind.SIP


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(**SETTINGS)


class AnsweredCall:
    """An inbound call that the agent has answered."""

    def __init__(self, gateway: Client, jambonz: Jambonz, dial: dict[str, Any]) -> None:
        self.gateway = gateway
        self.jambonz = jambonz
        self.dial = dial
        self.call_id: str = dial["headers"]["X-Call-Id"]

    async def refer(self, refer_to: str = f"<tel:{TARGET}>") -> list[dict[str, Any]]:
        return await self.jambonz.refers(self.dial["referHook"], refer_to)

    async def get_call(self) -> dict[str, Any]:
        return await get_call(self.gateway, self.call_id)


async def answered(gateway: Client) -> AnsweredCall:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    await jambonz.far_status("in-progress")
    return AnsweredCall(gateway, jambonz, dial)


async def request_transfer(
    gateway: Client, call_id: str, body: Any = None, key: str = DISPATCH_KEY
) -> tuple[int, dict[str, Any]]:
    """`POST /livekit-api/calls/{call_id}/transfer`; returns the status and the JSON."""
    url = f"/livekit-api/calls/{call_id}/transfer"
    async with gateway.post(url, json=body, headers={"X-API-Key": key}) as response:
        return response.status, await response.json()


async def test_a_refer_dials_the_target_and_the_call_ends_once_it_answers(gateway: Client) -> None:
    call = await answered(gateway)
    assert_valid_verbs([call.dial])
    verbs = await call.refer()
    assert_valid_verbs(verbs)
    assert [verb["verb"] for verb in verbs] == ["dial", "hangup"]
    assert verbs[0]["target"] == [{"type": "phone", "number": TARGET, "trunk": "carrier"}]
    pending = await call.get_call()
    assert pending["call_status"] == "ongoing"
    assert pending["transfer"]["target"] == TARGET
    assert pending["transfer"]["ended_at"] is None
    # The dial into the room ends now, but the call goes on until the target has answered.
    assert (
        await call.jambonz.dial_ends(call.dial["actionHook"], "in-progress", "completed", 200) == []
    )
    assert (await call.get_call())["call_status"] == "ongoing"
    call.jambonz.far_sid = "target-leg"
    await call.jambonz.far_status("ringing", 180)
    await call.jambonz.far_status("in-progress")
    ended = await call.get_call()
    assert (ended["call_status"], ended["disconnection_reason"]) == ("ended", "call_transfer")
    assert ended["transfer"]["sip"] == {"status": 200, "reason": "OK"}
    assert ended["sip"] is None


async def test_a_late_status_hook_of_livekits_leg_is_not_the_targets_answer(
    gateway: Client,
) -> None:
    call = await answered(gateway)
    await call.refer()
    await call.jambonz.far_status("in-progress")
    assert (await call.get_call())["transfer"]["ended_at"] is None


async def test_without_status_hooks_the_dial_action_hook_completes_the_transfer(
    gateway: Client,
) -> None:
    call = await answered(gateway)
    dial, _ = await call.refer()
    verbs = await call.jambonz.dial_ends(dial["actionHook"], "in-progress", "completed", 200)
    assert verbs == []
    ended = await call.get_call()
    assert ended["disconnection_reason"] == "call_transfer"
    assert ended["transfer"]["sip"]["status"] == 200


async def test_the_caller_of_a_failed_transfer_goes_to_the_fallback(
    start_gateway: GatewayStarter,
) -> None:
    fallback = [{"phone": "+15550123"}]
    gateway = await start_gateway(**SETTINGS, inbound={"fallback": fallback})
    call = await answered(gateway)
    dial, _ = await call.refer()
    verbs = await call.jambonz.dial_ends(dial["actionHook"], "in-progress", "busy", 486)
    assert_valid_verbs(verbs)
    assert verbs[0]["target"] == [{"type": "phone", "number": "+15550123"}]
    ended = await call.get_call()
    assert (ended["call_status"], ended["transfer"]["sip"]["status"]) == ("ended", 486)
    # An answered caller cannot be declined any more.
    last = await call.jambonz.dial_ends(verbs[0]["actionHook"], "in-progress", "failed", 503)
    assert last == [{"verb": "hangup"}]


@pytest.mark.parametrize("dial_first", [True, False])
async def test_a_caller_who_hangs_up_ends_the_transfer(gateway: Client, dial_first: bool) -> None:
    call = await answered(gateway)
    dial, _ = await call.refer()
    if not dial_first:
        await call.jambonz.status("completed", call_termination_by="caller")
    assert await call.jambonz.dial_ends(dial["actionHook"], "completed", "no-answer", 0) == []
    ended = await call.get_call()
    assert ended["disconnection_reason"] == "user_hangup"
    assert ended["transfer"]["ended_at"] is not None
    assert ended["transfer"]["sip"] is None


@pytest.mark.parametrize(
    ("refer_to", "status", "message"),
    [
        ("<tel:+15550123>", 403, "transfer.allowed"),
        ("<sip:+61491570156@evil.example>", 403, "transfer.allowed"),
        ("undefined", 400, "must be digits"),
        ("<tel:+61*>", 400, "must be digits"),
        ("", 400, "must be digits"),
    ],
)
async def test_a_refer_to_a_target_that_is_not_allowed_is_rejected(
    gateway: Client, refer_to: str, status: int, message: str
) -> None:
    call = await answered(gateway)
    with pytest.raises(HookRefused, match=f"answered {status}") as rejected:
        await call.refer(refer_to)
    assert message in str(rejected.value)
    ongoing = await call.get_call()
    assert (ongoing["call_status"], ongoing["transfer"]) == ("ongoing", None)


async def test_by_default_no_target_is_allowed(start_gateway: GatewayStarter) -> None:
    call = await answered(await start_gateway())
    with pytest.raises(HookRefused, match="answered 403"):
        await call.refer()


async def test_a_sip_uri_is_dialed_as_a_sip_target(gateway: Client) -> None:
    call = await answered(gateway)
    verbs = await call.refer("Desk <sip:desk@pbx.example.com;user=phone>")
    assert_valid_verbs(verbs)
    assert verbs[0]["target"] == [{"type": "sip", "sipUri": "sip:desk@pbx.example.com"}]


async def test_a_repeated_refer_hook_gets_the_same_verbs(gateway: Client) -> None:
    call = await answered(gateway)
    assert await call.refer() == await call.refer()
    events = [entry["event"] for entry in (await call.get_call())["timeline"]]
    assert events.count("transfer_started") == 1


async def test_another_refer_during_a_transfer_is_rejected(gateway: Client) -> None:
    call = await answered(gateway)
    await call.refer()
    with pytest.raises(HookRefused, match="answered 409"):
        await call.refer("<tel:+61491570157>")


async def test_a_refer_for_an_unknown_call_is_rejected(gateway: Client) -> None:
    with pytest.raises(HookRefused, match="answered 404"):
        await jambonz_for(gateway).refers("/livekit-api/refer", f"<tel:{TARGET}>")


async def test_a_refer_for_a_call_that_ends_meanwhile_is_rejected(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await answered(gateway)
    assert gateway.app
    registry = gateway.app[SERVICES].storage.registry
    active = await registry.get(call.call_id)
    await call.jambonz.status("completed")

    async def find(_: str) -> Call | None:
        return active

    monkeypatch.setattr(registry, "find_by_call_sid", find)
    with pytest.raises(HookRefused, match="answered 404"):
        await call.refer()


async def test_a_transfer_over_http_has_livekit_send_a_refer(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    call = await answered(gateway)
    fake_livekit.add_participant(call.call_id, SIP, "sip_+15550100", {"sip.ruleID": "SDR_1"})
    status, _ = await request_transfer(gateway, call.call_id, {"target": TARGET})
    assert status == 200
    (request,) = fake_livekit.requested(TransferSIPParticipantRequest)
    assert request.transfer_to == f"tel:{TARGET}"
    assert request.participant_identity == "sip_+15550100"
    assert request.room_name == call.call_id


@pytest.mark.parametrize(
    ("body", "expected", "code"),
    [
        ({"target": "+15550123"}, 403, "transfer_not_allowed"),
        ({"target": "unknown"}, 422, "invalid"),
        ({"target": TARGET, "to": "x"}, 422, "invalid"),
        ({}, 422, "invalid"),
        ({"target": None}, 422, "invalid"),
    ],
)
async def test_an_invalid_transfer_request_is_rejected_with_the_reason(
    gateway: Client, fake_livekit: FakeLiveKit, body: Any, expected: int, code: str
) -> None:
    call = await answered(gateway)
    status, error = await request_transfer(gateway, call.call_id, body)
    assert (status, error["error"]) == (expected, code)
    assert not fake_livekit.requested(TransferSIPParticipantRequest)


async def test_a_transfer_request_needs_a_dispatch_key_and_a_known_call(gateway: Client) -> None:
    call = await answered(gateway)
    assert (await request_transfer(gateway, call.call_id, {"target": TARGET}, READ_KEY))[0] == 403
    assert (await request_transfer(gateway, "call-unknown", {"target": TARGET}))[0] == 404


async def test_only_an_ongoing_call_without_a_transfer_can_be_transferred(gateway: Client) -> None:
    (dial,) = await jambonz_for(gateway).call_arrives()
    status, error = await request_transfer(
        gateway, dial["headers"]["X-Call-Id"], {"target": TARGET}
    )
    assert (status, error["error"]) == (409, "not_ongoing")
    call = await answered(gateway)
    await call.refer()
    status, error = await request_transfer(gateway, call.call_id, {"target": TARGET})
    assert (status, error["error"]) == (409, "transfer_pending")


async def test_a_refer_that_jambonz_rejects_leaves_the_call_ongoing(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    call = await answered(gateway)
    fake_livekit.add_participant(call.call_id, SIP, "sip_+15550100", {"sip.ruleID": "SDR_1"})
    meta = {"sip_status_code": "501", "sip_status": "Not Implemented"}
    fake_livekit.transfer_error = TwirpError(400, "unimplemented", "501 Not Implemented", meta)
    status, error = await request_transfer(gateway, call.call_id, {"target": TARGET})
    assert (status, error["sip"]) == (502, {"status_code": 501, "status": "Not Implemented"})
    assert (await call.get_call())["call_status"] == "ongoing"


async def dispatched(gateway: Client, **more: Any) -> str:
    """Dispatch an outbound call and wait for its answer; returns its call_id."""
    body = {"destination": "+61491570157", "account_code": "a", "transfer_target": TARGET, **more}
    headers = {"X-API-Key": DISPATCH_KEY}
    async with gateway.post(
        "/dispatch", json={"wait": "answer", **body}, headers=headers
    ) as response:
        assert response.status == 200, await response.text()
        call_id: str = (await response.json())["call_id"]
    return call_id


async def test_an_outbound_call_is_transferred_to_its_transfer_target(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway()
    call_id = await dispatched(gateway)
    status, call = await request_transfer(gateway, call_id)
    assert status == 200
    (request,) = fake_livekit.requested(TransferSIPParticipantRequest)
    assert request.transfer_to == f"tel:{TARGET}"
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
    assert call["transfer"]["sip"]["status"] == 200


async def test_a_rejected_outbound_transfer_leaves_the_call_ongoing(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    call_id = await dispatched(gateway)
    meta = {"sip_status_code": "603", "sip_status": "Decline"}
    fake_livekit.transfer_error = TwirpError(400, "failed", "603 Decline", meta)
    status, error = await request_transfer(gateway, call_id)
    assert (status, error["message"]) == (502, "603 Decline")
    call = await get_call(gateway, call_id)
    assert (call["call_status"], call["transfer"]["sip"]["status"]) == ("ongoing", 603)
    fake_livekit.transfer_error = None
    assert (await request_transfer(gateway, call_id))[0] == 200


async def test_each_transfer_has_its_own_callbacks(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks={"allowed_hosts": ["127.0.0.1"], "report_timeout": 0})
    call_id = await dispatched(gateway, callback_url=receiver.url)
    meta = {"sip_status_code": "486", "sip_status": "Busy Here"}
    fake_livekit.transfer_error = TwirpError(400, "failed", "486 Busy Here", meta)
    await request_transfer(gateway, call_id)
    fake_livekit.transfer_error = None
    await request_transfer(gateway, call_id)
    await receiver.received(7)
    assert receiver.events == [
        "call_started",
        "transfer_started",
        "transfer_ended",
        "transfer_started",
        "transfer_ended",
        "call_ended",
        "call_analyzed",
    ]
    ids = {body["event_id"] for body in receiver.bodies}
    assert len(ids) == 7
    ends = [body["call"] for body in receiver.bodies if body["event"] == "transfer_ended"]
    assert [call["transfer"]["sip"]["status"] for call in ends] == [486, 200]
