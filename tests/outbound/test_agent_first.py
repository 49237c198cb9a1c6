"""Nobody is called before the agent can be heard: how the gateway learns of it, and if not."""

import asyncio
import json
import time
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo, TrackInfo, TrackType
from livekit.protocol.room import CreateRoomRequest
from livekit.protocol.sip import CreateSIPParticipantRequest

from gateway.lifecycle import agent_wait
from tests.api.test_dispatch import dispatch, nothing_is_open, the_call
from tests.api.test_livekit import send
from tests.conftest import DISPATCH_KEY, Client, GatewayStarter, get_call
from tests.fakes.livekit import AGENT_AUDIO, Callee, FakeLiveKit, TwirpError
from tests.fakes.webhooks import webhook

AGENT, SIP = ParticipantInfo.Kind.AGENT, ParticipantInfo.Kind.SIP
NO_AGENT = {"agent_timeout": 0.3}


async def room_of(fake_livekit: FakeLiveKit) -> str:
    """The room, once the gateway has created it."""
    async with asyncio.timeout(5):
        while not fake_livekit.rooms:
            await asyncio.sleep(0.01)
    (room,) = fake_livekit.rooms
    return room


async def track_published(gateway: Client, room: str, identity: str, track: TrackInfo) -> None:
    body = webhook("EV_1", "track_published", room, ParticipantInfo(identity=identity), track)
    assert await send(gateway, "/livekit/webhook", body) == 204


async def agent_ready(gateway: Client, room: str) -> None:
    body = json.dumps({"event": "agent_ready", "job_id": "AJ_1"}).encode()
    assert await send(gateway, f"/livekit-api/calls/{room}/report", body) == 204


def dials(fake_livekit: FakeLiveKit) -> int:
    return len(fake_livekit.requested(CreateSIPParticipantRequest))


@pytest.fixture
def silent(fake_livekit: FakeLiveKit) -> FakeLiveKit:
    """A LiveKit whose agents are in the room, but without an audio track."""
    fake_livekit.agents_are_silent = True
    return fake_livekit


@pytest.mark.field("B1")
async def test_an_agent_that_took_the_job_and_is_silent_is_no_agent(
    start_gateway: GatewayStarter, silent: FakeLiveKit
) -> None:
    gateway = await start_gateway(outbound=NO_AGENT, monitor={"interval": 0.05})
    headers = {"X-API-Key": DISPATCH_KEY}
    body = {"destination": "61402012298", "account_code": "em"}
    async with gateway.post("/dispatch", json=body, headers=headers) as response:
        error = await response.json()
        assert (response.status, error["error"]) == (503, "no_agent")
        assert response.headers["Retry-After"] == "5"
    assert error["call_id"] == (await the_call(gateway))["call_id"]
    await nothing_is_open(silent)
    assert dials(silent) == 0


@pytest.mark.field("B1", "B21")
@pytest.mark.parametrize("tells", [track_published, agent_ready])
async def test_livekits_webhook_or_the_agents_report_lets_the_call_be_dialed(
    start_gateway: GatewayStarter,
    silent: FakeLiveKit,
    monkeypatch: pytest.MonkeyPatch,
    tells: Any,
) -> None:
    gateway = await start_gateway(outbound={"agent_timeout": 30})
    monkeypatch.setattr(agent_wait, "FIRST_QUESTION", 20)
    asking = asyncio.create_task(dispatch(gateway))
    room = await room_of(silent)
    if tells is agent_ready:
        await agent_ready(gateway, room)
    else:
        await track_published(gateway, room, "agent-AJ_1", AGENT_AUDIO)
    status, answer = await asking
    assert (status, answer["job_id"], dials(silent)) == (200, "AJ_1", 1)
    assert "ListParticipants" not in [method for method, _ in silent.requests]


@pytest.mark.field("B1")
@pytest.mark.parametrize(
    ("identity", "track"),
    [
        ("agent-AJ_1", TrackInfo(type=TrackType.AUDIO, muted=True)),
        ("agent-AJ_1", TrackInfo(type=TrackType.VIDEO)),
        ("sip_61402012298", AGENT_AUDIO),
    ],
    ids=["muted", "video", "another participant's"],
)
async def test_another_track_is_no_agent_that_can_be_heard(
    start_gateway: GatewayStarter, silent: FakeLiveKit, identity: str, track: TrackInfo
) -> None:
    gateway = await start_gateway(outbound=NO_AGENT)
    asking = asyncio.create_task(dispatch(gateway))
    await track_published(gateway, await room_of(silent), identity, track)
    status, error = await asking
    assert (status, error["error"], dials(silent)) == (503, "no_agent", 0)


@pytest.mark.field("B1")
async def test_an_agent_with_an_identity_of_its_own_is_found_in_the_room(
    start_gateway: GatewayStarter, silent: FakeLiveKit
) -> None:
    gateway = await start_gateway()
    asking = asyncio.create_task(dispatch(gateway))
    silent.add_participant(await room_of(silent), AGENT, "anna")
    status, _ = await asking
    assert (status, dials(silent)) == (200, 1)


@pytest.mark.field("B1")
async def test_an_agent_that_fails_before_the_dial_is_no_agent(
    start_gateway: GatewayStarter, silent: FakeLiveKit
) -> None:
    gateway = await start_gateway(outbound={"agent_timeout": 30})
    asking = asyncio.create_task(dispatch(gateway))
    room = await room_of(silent)
    body = b'{"event": "agent_failed", "job_id": "AJ_1", "detail": "RuntimeError: no model"}'
    assert await send(gateway, f"/livekit-api/calls/{room}/report", body) == 204
    status, error = await asking
    assert (status, error["error"]) == (503, "no_agent")
    assert "agent_error" in error["message"]
    assert dials(silent) == 0


@pytest.mark.field("B21")
async def test_without_a_worker_livekit_is_asked_seldom(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start_gateway(outbound={"agent_timeout": 5})
    monkeypatch.undo()  # as often as a gateway asks that is no test's
    began = time.monotonic()
    status, _ = await dispatch(gateway, agent_name="nobody")
    assert (status, time.monotonic() - began > 4.9) == (503, True)
    assert len(fake_livekit.requests) <= 8, [method for method, _ in fake_livekit.requests]


@pytest.mark.field("B1")
async def test_an_agent_that_dials_is_waited_for_until_it_is_heard_or_dials(
    start_gateway: GatewayStarter, silent: FakeLiveKit
) -> None:
    outbound = {"dialed_by": "agent", "agent_timeout": 0.3, "early_failure_window": 0}
    gateway = await start_gateway(outbound=outbound)
    status, error = await dispatch(gateway)
    assert (status, error["error"]) == (503, "no_agent")
    silent.rooms.clear()
    asking = asyncio.create_task(dispatch(gateway))
    silent.add_participant(await room_of(silent), SIP, "sip_1", {"sip.callStatus": "ringing"})
    status, answer = await asking
    assert (status, answer["call_status"]) == (200, "ringing")


@pytest.mark.field("B3")
async def test_a_call_that_is_hung_up_before_its_dial_is_not_dialed(
    start_gateway: GatewayStarter, silent: FakeLiveKit
) -> None:
    gateway = await start_gateway(outbound={"agent_timeout": 30})
    asking = asyncio.create_task(dispatch(gateway))
    room = await room_of(silent)
    url = f"/livekit-api/calls/{room}/hangup"
    async with gateway.post(url, headers={"X-API-Key": DISPATCH_KEY}) as response:
        assert response.status == 200
    status, answer = await asking
    assert (status, answer["call_status"]) == (200, "not_connected")
    await agent_ready(gateway, room)
    await nothing_is_open(silent)
    assert dials(silent) == 0


async def test_a_call_that_is_hung_up_while_its_room_is_created_is_no_failure(
    start_gateway: GatewayStarter, silent: FakeLiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_hung_up = asyncio.Event()

    async def failure_of(method: str, _: object) -> TwirpError | None:
        """LiveKit does not answer for a room that is gone."""
        if method != "ListDispatch":
            return None
        await is_hung_up.wait()
        return TwirpError(503, "unavailable", "no response from servers")

    monkeypatch.setattr(silent, "failure_of", failure_of)
    gateway = await start_gateway(outbound={"agent_timeout": 30})
    asking = asyncio.create_task(dispatch(gateway))
    url = f"/livekit-api/calls/{await room_of(silent)}/hangup"
    async with gateway.post(url, headers={"X-API-Key": DISPATCH_KEY}) as response:
        assert response.status == 200
    is_hung_up.set()
    status, answer = await asking
    assert (status, answer["call_status"]) == (200, "not_connected")
    assert dials(silent) == 0


@pytest.mark.field("B3")
async def test_a_leg_that_is_answered_for_an_ended_call_is_hung_up(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    """LiveKit creates the room again for a leg that was on its way when the call ended."""
    gateway = await start_gateway(outbound={"early_failure_window": 0}, monitor={"interval": 0.05})
    answers = asyncio.Event()
    fake_livekit.callees["61402012298"] = Callee(rings=answers)
    _, answer = await dispatch(gateway)
    room = answer["call_id"]
    async with gateway.post(
        f"/livekit-api/calls/{room}/hangup", headers={"X-API-Key": DISPATCH_KEY}
    ) as response:
        assert response.status == 200
    await nothing_is_open(fake_livekit)
    fake_livekit.perform("CreateRoom", CreateRoomRequest(name=room))
    answers.set()
    await nothing_is_open(fake_livekit)
    call = await get_call(gateway, room)
    assert (call["call_status"], call["answer_timestamp"]) == ("not_connected", None)
