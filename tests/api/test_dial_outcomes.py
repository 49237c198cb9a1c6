"""How an outbound call was not connected: the reason, the SIP status, and LiveKit's words."""

import asyncio
from typing import Any

import pytest

from gateway.lifecycle import dialing
from tests.api.test_dispatch import dispatch, the_call, until
from tests.conftest import Client, GatewayStarter, get_call
from tests.fakes.livekit import Callee, FakeLiveKit, TwirpError

NUMBER = "61402012298"


@pytest.fixture(autouse=True)
def _seen_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leg that a dial has left behind would be seen sooner."""
    monkeypatch.setattr(dialing, "POLL_INTERVAL", 0.02)
    monkeypatch.setattr(dialing, "UNSEEN_LIMIT", 0.1)


def canceled(responses: int) -> TwirpError:
    """livekit-sip 1.10 about an INVITE that got no final response."""
    text = (
        f"twirp error unknown: transaction failed to complete ({responses} intermediate responses)"
    )
    return TwirpError(408, "canceled", text)


TIMED_OUT = TwirpError(408, "canceled", "twirp error unknown: sip request timed out")


def failed_precondition(text: str) -> TwirpError:
    return TwirpError(412, "failed_precondition", f"twirp error unknown: {text}")


@pytest.mark.field("B19")
@pytest.mark.parametrize(
    ("sip", "reason"),
    [
        ((302, "Moved Temporarily"), "sip_routing_error"),
        ((403, "Forbidden"), "telephony_provider_permission_denied"),
        ((404, "Not Found"), "invalid_destination"),
        ((407, "Proxy Authentication Required"), "telephony_provider_permission_denied"),
        ((410, "Gone"), "invalid_destination"),
        ((480, "Temporarily Unavailable"), "dial_no_answer"),
        ((482, "Loop Detected"), "sip_routing_error"),
        ((486, "Busy Here"), "dial_busy"),
        ((487, "Request Terminated"), "telephony_provider_unavailable"),
        ((488, "Not Acceptable Here"), "dial_failed"),
        ((500, "Server Internal Error"), "telephony_provider_unavailable"),
        ((503, "Service Unavailable"), "telephony_provider_unavailable"),
        ((600, "Busy Everywhere"), "dial_busy"),
        ((603, "Decline"), "user_declined"),
        ((607, "Unwanted"), "marked_as_spam"),
        ((608, "Rejected"), "marked_as_spam"),
    ],
)
async def test_a_sip_status_has_its_reason(
    gateway: Client, fake_livekit: FakeLiveKit, sip: tuple[int, str], reason: str
) -> None:
    fake_livekit.callees[NUMBER] = Callee(sip=sip)
    call = await not_connected(gateway)
    assert call["disconnection_reason"] == reason
    assert call["sip"] == {"status": sip[0], "reason": sip[1]}


@pytest.mark.field("B18", "B19")
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (TIMED_OUT, "telephony_provider_unavailable"),
        (canceled(0), "telephony_provider_unavailable"),
        (canceled(1), "telephony_provider_unavailable"),
        (
            failed_precondition("dial tcp 192.0.2.9:5060: connect: connection refused"),
            "telephony_provider_unavailable",
        ),
        (
            TwirpError(400, "invalid_argument", "lookup pbx.example.com on 192.0.2.53:53: no host"),
            "telephony_provider_unavailable",
        ),
        (
            failed_precondition(
                "sip server required auth, but no username or password was provided"
            ),
            "telephony_provider_permission_denied",
        ),
        (
            failed_precondition("max auth retry attempts reached for SIP invite"),
            "telephony_provider_permission_denied",
        ),
        (TwirpError(404, "not_found", "requested sip trunk does not exist"), "dial_failed"),
    ],
)
async def test_a_failure_without_a_sip_status_has_its_reason(
    gateway: Client, fake_livekit: FakeLiveKit, failure: TwirpError, reason: str
) -> None:
    fake_livekit.callees[NUMBER] = Callee(failure=failure)
    call = await not_connected(gateway)
    assert call["disconnection_reason"] == reason
    assert call["sip"] is None


@pytest.mark.field("B18")
@pytest.mark.parametrize("callee", [Callee(failure=TIMED_OUT), Callee(sip=(408, "Timeout"))])
async def test_only_a_callee_who_was_rung_has_not_answered(
    gateway: Client,
    fake_livekit: FakeLiveKit,
    monkeypatch: pytest.MonkeyPatch,
    callee: Callee,
) -> None:
    monkeypatch.setattr(dialing, "RINGING_INTERVAL", 0.01)
    callee.rings = asyncio.Event()
    fake_livekit.callees[NUMBER] = callee
    _, answer = await dispatch(gateway, wait="none")
    async with asyncio.timeout(5):
        while "ringing" not in await events(gateway, answer["call_id"]):
            await asyncio.sleep(0.01)
    callee.rings.set()
    call = await until(gateway, answer["call_id"], "not_connected")
    assert call["disconnection_reason"] == "dial_no_answer"
    assert (await events(gateway, answer["call_id"])).count("ringing") == 1


async def not_connected(gateway: Client) -> dict[str, Any]:
    """A call that was dispatched, once it has failed."""
    status, answer = await dispatch(gateway, wait="none")
    assert status == 200
    return await until(gateway, answer["call_id"], "not_connected")


async def events(gateway: Client, call_id: str) -> list[str]:
    return [entry["event"] for entry in (await get_call(gateway, call_id))["timeline"]]


@pytest.mark.field("B20")
@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            failed_precondition("sip server required auth"),
            "sip server required auth",
        ),
        (
            TwirpError(
                400,
                "invalid_argument",
                "twirp error unknown: lookup pbx.example.com on 192.0.2.53:53: no such host",
            ),
            "lookup pbx.example.com on [address]: no such host",
        ),
        (
            failed_precondition(
                "read udp [2001:db8::1]:5060->[2001:db8::2]:22: connection refused"
            ),
            "read udp [address]->[address]: connection refused",
        ),
        (
            TwirpError(404, "not_found", "no route to 2001:db8::9 at 10:30:00"),
            "no route to [address] at 10:30:00",
        ),
    ],
)
async def test_livekits_words_come_without_addresses(
    gateway: Client, fake_livekit: FakeLiveKit, failure: TwirpError, message: str
) -> None:
    fake_livekit.callees[NUMBER] = Callee(failure=failure)
    status, error = await dispatch(gateway)
    assert (status, error["message"]) == (502, message)
    assert error["twirp"]["msg"] == message
    details = [
        entry["detail"]
        for entry in (await get_call(gateway, (await the_call(gateway))["call_id"]))["timeline"]
    ]
    assert message in details


@pytest.mark.field("B20")
async def test_the_carriers_words_come_without_addresses(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees[NUMBER] = Callee(sip=(403, "Not from 192.0.2.7"))
    status, error = await dispatch(gateway)
    assert (status, error["message"]) == (502, "403 Not from [address]")
    assert "192.0.2.7" not in str(error)


@pytest.mark.field("B20")
async def test_a_livekit_that_is_away_is_told_without_its_address(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway({"LIVEKIT_URL": "ws://127.0.0.1:9"}, livekit={"timeout": 0.2})
    status, error = await dispatch(gateway)
    assert (status, error["error"]) == (503, "livekit_unreachable")
    assert "127.0.0.1" not in str(error)
