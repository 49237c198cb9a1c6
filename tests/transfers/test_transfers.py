"""Calls that are handed on: by the agent's REFER, from outside, and what is told of it."""

from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.sip import TransferSIPParticipantRequest

from gateway.api.services import SERVICES
from gateway.calls.call import Call
from gateway.tools.simulate.jambonz import HookRefused, Jambonz
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter, jambonz_for
from tests.conftest import shown as whole_call
from tests.fakes.livekit import FakeLiveKit, Refusal
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


class Talk:
    """An inbound call that has been answered."""

    def __init__(self, gateway: Client, jambonz: Jambonz, dial: dict[str, Any]) -> None:
        self.gateway = gateway
        self.jambonz = jambonz
        self.dial = dial
        self.call_id: str = dial["headers"]["X-Call-Id"]

    async def refers(self, refer_to: str = f"<tel:{TARGET}>") -> list[dict[str, Any]]:
        return await self.jambonz.refers(self.dial["referHook"], refer_to)

    async def call(self) -> dict[str, Any]:
        return await whole_call(self.gateway, self.call_id)


async def answered(gateway: Client) -> Talk:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    await jambonz.far_status("in-progress")
    return Talk(gateway, jambonz, dial)


async def ask(
    gateway: Client, call_id: str, body: Any = None, key: str = DISPATCH_KEY
) -> tuple[int, dict[str, Any]]:
    """`POST …/transfer`."""
    url = f"/livekit-api/calls/{call_id}/transfer"
    async with gateway.post(url, json=body, headers={"X-API-Key": key}) as answer:
        return answer.status, await answer.json()


async def test_a_refer_is_dialed_and_the_call_ends_when_it_is_answered(gateway: Client) -> None:
    talk = await answered(gateway)
    assert_valid_verbs([talk.dial])
    verbs = await talk.refers()
    assert_valid_verbs(verbs)
    assert [verb["verb"] for verb in verbs] == ["dial", "hangup"]
    assert verbs[0]["target"] == [{"type": "phone", "number": TARGET, "trunk": "carrier"}]
    pending = await talk.call()
    assert pending["call_status"] == "ongoing"
    assert pending["transfer"]["target"] == TARGET
    assert pending["transfer"]["ended_at"] is None
    # The dial towards LiveKit ends now, and its leg: neither is the end of the call.
    assert (
        await talk.jambonz.dial_ends(talk.dial["actionHook"], "in-progress", "completed", 200) == []
    )
    assert (await talk.call())["call_status"] == "ongoing"
    talk.jambonz.far_sid = "target-leg"
    await talk.jambonz.far_status("ringing", 180)
    await talk.jambonz.far_status("in-progress")
    ended = await talk.call()
    assert (ended["call_status"], ended["disconnection_reason"]) == ("ended", "call_transfer")
    assert ended["transfer"]["sip"] == {"status": 200, "reason": "OK"}
    assert ended["sip"] is None


async def test_a_late_answer_of_the_first_leg_is_not_the_targets(gateway: Client) -> None:
    talk = await answered(gateway)
    await talk.refers()
    await talk.jambonz.far_status("in-progress")
    assert (await talk.call())["transfer"]["ended_at"] is None


async def test_without_status_hooks_the_dials_end_tells(gateway: Client) -> None:
    talk = await answered(gateway)
    dial, _ = await talk.refers()
    verbs = await talk.jambonz.dial_ends(dial["actionHook"], "in-progress", "completed", 200)
    assert verbs == []
    ended = await talk.call()
    assert ended["disconnection_reason"] == "call_transfer"
    assert ended["transfer"]["sip"]["status"] == 200


async def test_a_caller_who_is_not_put_through_gets_the_fallback(
    start_gateway: GatewayStarter,
) -> None:
    fallback = [{"phone": "+15550123"}]
    gateway = await start_gateway(**SETTINGS, inbound={"fallback": fallback})
    talk = await answered(gateway)
    dial, _ = await talk.refers()
    verbs = await talk.jambonz.dial_ends(dial["actionHook"], "in-progress", "busy", 486)
    assert_valid_verbs(verbs)
    assert verbs[0]["target"] == [{"type": "phone", "number": "+15550123"}]
    ended = await talk.call()
    assert (ended["call_status"], ended["transfer"]["sip"]["status"]) == ("ended", 486)
    # An answered caller cannot be refused any more.
    last = await talk.jambonz.dial_ends(verbs[0]["actionHook"], "in-progress", "failed", 503)
    assert last == [{"verb": "hangup"}]


@pytest.mark.parametrize("dial_first", [True, False])
async def test_a_caller_who_hangs_up_meanwhile_ends_it(gateway: Client, dial_first: bool) -> None:
    talk = await answered(gateway)
    dial, _ = await talk.refers()
    if not dial_first:
        await talk.jambonz.status("completed", call_termination_by="caller")
    assert await talk.jambonz.dial_ends(dial["actionHook"], "completed", "no-answer", 0) == []
    ended = await talk.call()
    assert ended["disconnection_reason"] == "user_hangup"
    assert ended["transfer"]["ended_at"] is not None
    assert ended["transfer"]["sip"] is None


@pytest.mark.parametrize(
    ("refer_to", "status", "said"),
    [
        ("<tel:+15550123>", 403, "transfer.allowed"),
        ("<sip:+61491570156@evil.example>", 403, "transfer.allowed"),
        ("undefined", 400, "must be digits"),
        ("<tel:+61*>", 400, "must be digits"),
        ("", 400, "must be digits"),
    ],
)
async def test_a_refer_to_elsewhere_is_refused_and_the_talk_goes_on(
    gateway: Client, refer_to: str, status: int, said: str
) -> None:
    talk = await answered(gateway)
    with pytest.raises(HookRefused, match=f"answered {status}") as refused:
        await talk.refers(refer_to)
    assert said in str(refused.value)
    call = await talk.call()
    assert (call["call_status"], call["transfer"]) == ("ongoing", None)


async def test_by_default_calls_go_nowhere(start_gateway: GatewayStarter) -> None:
    talk = await answered(await start_gateway())
    with pytest.raises(HookRefused, match="answered 403"):
        await talk.refers()


async def test_a_sip_target_is_dialed_as_such(gateway: Client) -> None:
    talk = await answered(gateway)
    verbs = await talk.refers("Desk <sip:desk@pbx.example.com;user=phone>")
    assert_valid_verbs(verbs)
    assert verbs[0]["target"] == [{"type": "sip", "sipUri": "sip:desk@pbx.example.com"}]


async def test_a_repeated_refer_hook_gets_the_same_verbs(gateway: Client) -> None:
    talk = await answered(gateway)
    assert await talk.refers() == await talk.refers()
    events = [entry["event"] for entry in (await talk.call())["timeline"]]
    assert events.count("transfer_started") == 1


async def test_another_refer_meanwhile_is_refused(gateway: Client) -> None:
    talk = await answered(gateway)
    await talk.refers()
    with pytest.raises(HookRefused, match="answered 409"):
        await talk.refers("<tel:+61491570157>")


async def test_a_refer_for_a_call_nobody_knows_is_refused(gateway: Client) -> None:
    with pytest.raises(HookRefused, match="answered 404"):
        await jambonz_for(gateway).refers("/livekit-api/refer", f"<tel:{TARGET}>")


async def test_a_refer_for_a_call_that_ends_just_then_is_refused(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = await answered(gateway)
    assert gateway.app
    registry = gateway.app[SERVICES].storage.registry
    as_it_was = await registry.get(talk.call_id)
    await talk.jambonz.status("completed")

    async def find(_: str) -> Call | None:
        return as_it_was

    monkeypatch.setattr(registry, "find_by_call_sid", find)
    with pytest.raises(HookRefused, match="answered 404"):
        await talk.refers()


async def test_from_outside_livekit_is_told_to_refer(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    talk = await answered(gateway)
    fake_livekit.present(talk.call_id, SIP, "sip_+15550100")
    status, _ = await ask(gateway, talk.call_id, {"target": TARGET})
    assert status == 200
    (request,) = fake_livekit.requested(TransferSIPParticipantRequest)
    assert request.transfer_to == f"tel:{TARGET}"
    assert request.participant_identity == "sip_+15550100"
    assert request.room_name == talk.call_id


@pytest.mark.parametrize(
    ("body", "expected", "code"),
    [
        ({"target": "+15550123"}, 403, "transfer_not_allowed"),
        ({"target": "nobody"}, 422, "invalid"),
        ({"target": TARGET, "to": "x"}, 422, "invalid"),
        ({}, 422, "invalid"),
        ({"target": None}, 422, "invalid"),
    ],
)
async def test_a_request_that_cannot_be_met_says_why(
    gateway: Client, fake_livekit: FakeLiveKit, body: Any, expected: int, code: str
) -> None:
    talk = await answered(gateway)
    status, error = await ask(gateway, talk.call_id, body)
    assert (status, error["error"]) == (expected, code)
    assert not fake_livekit.requested(TransferSIPParticipantRequest)


async def test_who_may_ask(gateway: Client) -> None:
    talk = await answered(gateway)
    assert (await ask(gateway, talk.call_id, {"target": TARGET}, READ_KEY))[0] == 403
    assert (await ask(gateway, "call-unknown", {"target": TARGET}))[0] == 404


async def test_only_an_ongoing_call_that_is_not_handed_on_already(gateway: Client) -> None:
    (dial,) = await jambonz_for(gateway).call_arrives()
    status, error = await ask(gateway, dial["headers"]["X-Call-Id"], {"target": TARGET})
    assert (status, error["error"]) == (409, "not_ongoing")
    talk = await answered(gateway)
    await talk.refers()
    status, error = await ask(gateway, talk.call_id, {"target": TARGET})
    assert (status, error["error"]) == (409, "transfer_pending")


async def test_a_refer_that_jambonz_refuses_leaves_the_call_as_it_was(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    talk = await answered(gateway)
    fake_livekit.present(talk.call_id, SIP, "sip_+15550100")
    meta = {"sip_status_code": "501", "sip_status": "Not Implemented"}
    fake_livekit.refer_answer = Refusal(400, "unimplemented", "501 Not Implemented", meta)
    status, error = await ask(gateway, talk.call_id, {"target": TARGET})
    assert (status, error["sip"]) == (502, {"status_code": 501, "status": "Not Implemented"})
    assert (await talk.call())["call_status"] == "ongoing"


async def dispatched(gateway: Client, **more: Any) -> str:
    """An outbound call that has been answered; its id."""
    order = {"destination": "+61491570157", "account_code": "a", "transfer_target": TARGET, **more}
    headers = {"X-API-Key": DISPATCH_KEY}
    async with gateway.post("/dispatch", json={"wait": "answer", **order}, headers=headers) as ok:
        assert ok.status == 200, await ok.text()
        call_id: str = (await ok.json())["call_id"]
    return call_id


async def test_an_outbound_call_goes_to_its_own_target(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway()
    call_id = await dispatched(gateway)
    status, call = await ask(gateway, call_id)
    assert status == 200
    (request,) = fake_livekit.requested(TransferSIPParticipantRequest)
    assert request.transfer_to == f"tel:{TARGET}"
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
    assert call["transfer"]["sip"]["status"] == 200


async def test_an_outbound_transfer_that_is_refused_leaves_the_talk_as_it_was(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    call_id = await dispatched(gateway)
    meta = {"sip_status_code": "603", "sip_status": "Decline"}
    fake_livekit.refer_answer = Refusal(400, "failed", "603 Decline", meta)
    status, error = await ask(gateway, call_id)
    assert (status, error["message"]) == (502, "603 Decline")
    call = await whole_call(gateway, call_id)
    assert (call["call_status"], call["transfer"]["sip"]["status"]) == ("ongoing", 603)
    fake_livekit.refer_answer = None
    assert (await ask(gateway, call_id))[0] == 200


async def test_callbacks_tell_of_each_try(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks={"allowed_hosts": ["127.0.0.1"], "report_timeout": 0})
    call_id = await dispatched(gateway, callback_url=receiver.url)
    meta = {"sip_status_code": "486", "sip_status": "Busy Here"}
    fake_livekit.refer_answer = Refusal(400, "failed", "486 Busy Here", meta)
    await ask(gateway, call_id)
    fake_livekit.refer_answer = None
    await ask(gateway, call_id)
    await receiver.heard(7)
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
