"""What becomes of a dial whose outcome LiveKit does not tell, or tells wrongly."""

from typing import Any

import pytest
from livekit.protocol.sip import CreateSIPParticipantRequest

from gateway.livekit import sip
from tests.api.test_dispatch import dispatch, until
from tests.conftest import GatewayStarter
from tests.fakes.livekit import GARBAGE, Callee, Drop, Failure, FakeLiveKit, Hang, TwirpError

KEY: dict[str, Any] = {"idempotency_key": "one"}
#: A loaded machine may pause for seconds.
PATIENT = {"timeout": 8}


@pytest.mark.field("B4", "B16")
@pytest.mark.parametrize(
    "failure",
    [
        TwirpError(408, "deadline_exceeded", "too slow"),
        TwirpError(408, "canceled", "canceled"),
        TwirpError(412, "failed_precondition", "no"),
        TwirpError(500, "internal", "no"),
        TwirpError(503, "unavailable", "no response from servers"),
        Drop(),
        Hang(),
        *GARBAGE,
    ],
)
async def test_a_dial_that_livekit_fails_while_the_leg_lives_is_followed(
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
    failure: Failure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = await start_gateway(livekit=PATIENT)
    monkeypatch.setattr(sip, "DIAL_MARGIN", 1)
    fake_livekit.callees["61402012298"] = Callee(failure=failure, is_connected=True)
    status, answer = await dispatch(gateway, wait="answer", ringing_timeout=1, **KEY)
    assert status == 200, answer
    call = await until(gateway, answer["call_id"], "ongoing")
    assert call["call_id"] in fake_livekit.rooms
    again = await dispatch(gateway, wait="answer", ringing_timeout=1, **KEY)
    assert (again[0], again[1]["call_id"]) == (200, call["call_id"])
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 1


@pytest.mark.field("B16")
async def test_a_dial_that_livekit_fails_without_a_leg_has_failed_within_the_window(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(livekit=PATIENT)
    error = TwirpError(503, "unavailable", "no response from servers")
    fake_livekit.callees["61402012298"] = Callee(failure=error)
    for _ in range(2):
        status, answer = await dispatch(gateway, **KEY)
        assert (status, answer["message"]) == (502, "no response from servers")
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 1
