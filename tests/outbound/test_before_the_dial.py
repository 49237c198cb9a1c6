"""What fails before the dial: the asker may try again, with the same key and without a trace."""

import asyncio
from typing import Any

import pytest
from livekit.protocol.sip import CreateSIPParticipantRequest, SIPOutboundTrunkInfo

from gateway.livekit.trunks import mark
from tests.api.test_dispatch import GUIDE, HEADERS, dispatch
from tests.conftest import Client, GatewayStarter, list_calls
from tests.fakes.livekit import Callee, Drop, Failure, FakeLiveKit, TwirpError
from tests.fakes.receiver import Receiver

KEY: dict[str, Any] = {"idempotency_key": "one"}
OUR_TRUNK = SIPOutboundTrunkInfo(sip_trunk_id="ST_ours", metadata=mark())


async def dispatch_with_header(gateway: Client, **more: Any) -> tuple[int, str | None, Any]:
    body = {**GUIDE, **KEY, **more}
    async with gateway.post("/dispatch", json=body, headers=HEADERS) as response:
        return response.status, response.headers.get("Retry-After"), await response.json()


@pytest.mark.field("B6")
@pytest.mark.parametrize(
    "failure",
    [
        TwirpError(500, "internal", "no"),
        TwirpError(503, "unavailable", "no response from servers"),
        TwirpError(429, "resource_exhausted", "limit exceeded"),
        TwirpError(408, "deadline_exceeded", "too slow"),
        Drop(),
    ],
)
@pytest.mark.parametrize("trunk_id", ["ST_1", ""], ids=["CreateRoom", "the trunk"])
async def test_what_may_pass_is_a_503_that_frees_the_key(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, failure: Failure, trunk_id: str
) -> None:
    gateway = await start_gateway({"SIP_OUTBOUND_TRUNK_ID": trunk_id}, livekit={"timeout": 0.5})
    fake_livekit.failures.extend([failure] * 100)
    status, retry_after, error = await dispatch_with_header(gateway)
    assert (status, retry_after, error["error"]) == (503, "5", "livekit_unreachable")
    fake_livekit.failures.clear()
    fake_livekit.outbound_trunks.append(OUR_TRUNK)
    async with asyncio.timeout(20):  # a loaded machine may take longer than livekit.timeout
        while status == 503:
            status, _, answer = await dispatch_with_header(gateway)
    assert status == 200, answer
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 1


@pytest.mark.field("B6")
async def test_a_refusal_before_the_dial_is_forgotten_too(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.failures.append(TwirpError(401, "unauthenticated", "invalid API key"))
    status, _, error = await dispatch_with_header(gateway)
    assert (status, error["error"]) == (502, "livekit_refused")
    assert error["call_id"]
    status, _, answer = await dispatch_with_header(gateway)
    assert status == 200
    assert answer["call_id"] != error["call_id"]


@pytest.mark.field("B7")
@pytest.mark.parametrize("cause", ["LiveKit", "no agent"])
async def test_no_callback_is_about_a_call_whose_asker_is_to_try_again(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, receiver: Receiver, cause: str
) -> None:
    gateway = await start_gateway(
        livekit={"timeout": 1.5},
        outbound={"agent_timeout": 0.2},
        callbacks={"urls": [f"{receiver.url}/all"], "allowed_hosts": ["127.0.0.1"]},
    )
    more = {"callback_url": f"{receiver.url}/resume"}
    if cause == "LiveKit":
        fake_livekit.failures.extend([TwirpError(503, "unavailable", "no")] * 100)
    fake_livekit.agents_are_silent = cause == "no agent"
    status, retry_after, first = await dispatch_with_header(gateway, **more)
    assert (status, retry_after) == (503, "5")
    fake_livekit.failures.clear()
    fake_livekit.agents_are_silent = False
    fake_livekit.callees["61402012298"] = Callee(sip=(486, "Busy Here"))
    status, _, second = await dispatch_with_header(gateway, **more)
    assert status == 502
    await receiver.received(2)
    assert {body["call"]["call_id"] for body in receiver.bodies} == {second["call_id"]}
    listed = (await list_calls(gateway, "?include=ended"))["calls"]
    assert {call["call_id"] for call in listed} == {first["call_id"], second["call_id"]}


@pytest.mark.field("B7")
async def test_a_call_that_a_client_hangs_up_before_its_dial_has_callbacks(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, receiver: Receiver
) -> None:
    """Its asker gets a 200: the callback is the only word about the end."""
    fake_livekit.agents_are_silent = True
    gateway = await start_gateway(
        outbound={"agent_timeout": 30}, callbacks={"allowed_hosts": ["127.0.0.1"]}
    )
    asking = asyncio.create_task(dispatch(gateway, callback_url=receiver.url))
    async with asyncio.timeout(5):
        while not fake_livekit.rooms:
            await asyncio.sleep(0.01)
    (room,) = fake_livekit.rooms
    async with gateway.post(f"/livekit-api/calls/{room}/hangup", headers=HEADERS) as response:
        assert response.status == 200
    assert (await asking)[0] == 200
    await receiver.received(1)
    assert receiver.events[0] == "call_ended"


@pytest.mark.field("B15")
async def test_a_key_whose_request_was_wrong_takes_the_corrected_one(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    for _ in range(2):
        status, error = await dispatch(gateway, callback_url="http://10.0.0.1/", **KEY)
        assert (status, list(error["details"])) == (422, ["callback_url"])
    status, answer = await dispatch(gateway, **KEY)
    assert status == 200
    status, again = await dispatch(gateway, **KEY)
    assert (status, again["call_id"]) == (200, answer["call_id"])
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 1
