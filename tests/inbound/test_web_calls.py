"""`POST /livekit-api/web-calls`: a call whose caller is a browser."""

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import CreateRoomRequest

from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter, get_call, list_calls
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit, TwirpError

TO = {"to_number": "+15550199"}
SETTINGS: dict[str, Any] = {"web": {"calls": True}, "monitor": {"interval": 0.05}}
DOWN = TwirpError(503, "unavailable", "no response from 192.0.2.7:443")


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(**SETTINGS)


async def start(
    gateway: Client, key: str = DISPATCH_KEY, **body: Any
) -> tuple[int, dict[str, Any]]:
    """The status and the content of the answer."""
    async with gateway.post(
        "/livekit-api/web-calls", json=TO | body, headers={"X-API-Key": key}
    ) as answer:
        return answer.status, await answer.json()


def join(livekit: FakeLiveKit, started: dict[str, Any]) -> None:
    """Have a browser join by its token, as livekit-server lists it then."""
    claims = jwt.decode(started["participant_token"], SECRET, ["HS256"], issuer=KEY)
    assert claims["kind"] == "sip"
    livekit.add_participant(
        claims["video"]["room"], ParticipantInfo.Kind.SIP, claims["sub"], claims["attributes"]
    )


async def until(gateway: Client, call_id: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while (call := await get_call(gateway, call_id))["call_status"] != status:
            await asyncio.sleep(0.01)
    return call


async def test_the_call_is_one_that_a_call_hook_could_have_brought(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    status, started = await start(gateway, from_number="+15550100", account_code="em-tech-01")
    assert status == 200
    assert started["server_url"] == fake_livekit.url
    (room,) = fake_livekit.requested(CreateRoomRequest)
    job = json.loads(room.agents[0].metadata)
    assert room.name == started["call_id"] == job["gateway"]["call_id"]
    assert (job["destination"], job["caller_number"]) == ("+15550199", "+15550100")
    assert job["account_code"] == "em-tech-01"
    call = await get_call(gateway, started["call_id"])
    assert (call["direction"], call["from_number"]) == ("inbound", "+15550100")
    assert call["timeline"][0]["detail"] == "from the browser of n8n"


async def test_a_profile_reaches_the_agent(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    await start(gateway, session_options={"profile": "clinic"})
    (room,) = fake_livekit.requested(CreateRoomRequest)
    gateway_fields = json.loads(room.agents[0].metadata)["gateway"]
    assert gateway_fields["session_options"] == {"profile": "clinic"}


async def test_the_token_is_short_lived_and_for_one_room_and_a_microphone(gateway: Client) -> None:
    _, started = await start(gateway)
    claims = jwt.decode(started["participant_token"], SECRET, ["HS256"], issuer=KEY)
    assert claims["exp"] - time.time() <= 120
    grants = claims["video"]
    assert (grants["room"], grants["roomJoin"]) == (started["call_id"], True)
    assert grants["canPublishSources"] == ["microphone"]
    assert not {"roomAdmin", "roomCreate", "roomList", "roomRecord"} & grants.keys()


@pytest.mark.parametrize("strategy", ["room", "participant"])
async def test_it_is_answered_once_both_are_in_the_room(
    strategy: str, start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(**SETTINGS, inbound={"strategy": strategy})
    _, started = await start(gateway)
    call_id = started["call_id"]
    join(fake_livekit, started)
    assert (await until(gateway, call_id, "ringing"))["answer_timestamp"] is None
    fake_livekit.add_participant(call_id, ParticipantInfo.Kind.AGENT, "agent-AJ_1")
    call = await until(gateway, call_id, "ongoing")
    assert call["caller"]["identity"] == "browser"


async def test_a_call_without_an_agent_ends(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(**SETTINGS, inbound={"agent_timeout": 0.1})
    _, started = await start(gateway)
    call = await until(gateway, started["call_id"], "error")
    assert call["disconnection_reason"] == "no_agent"


async def test_it_is_off_unless_it_is_configured(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway()
    status, error = await start(gateway)
    assert (status, error["error"]) == (403, "web_calls_off")
    assert "web.calls" in error["message"]


async def test_it_needs_the_role_dispatch(gateway: Client) -> None:
    status, error = await start(gateway, key=READ_KEY)
    assert (status, error["error"]) == (403, "forbidden")


async def test_without_livekit_the_caller_is_told_and_the_call_ends(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.failures.extend([DOWN] * 9)
    status, error = await start(gateway)
    assert (status, error["error"]) == (503, "livekit_unreachable")
    assert "192.0.2.7" not in error["message"]
    fake_livekit.failures.clear()
    assert (await get_call(gateway, error["call_id"]))["call_status"] == "error"


async def test_no_more_calls_than_there_may_be(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(**SETTINGS, limits={"max_active_calls": 1})
    assert (await start(gateway))[0] == 200
    status, error = await start(gateway)
    assert (status, error["error"]) == (429, "too_many_calls")
    assert (await list_calls(gateway))["active"] == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to_number", ""),
        ("to_number", "x\r\nVia: evil"),
        ("from_number", "not a number"),
        ("account_code", "a" * 129),
        ("session_options", "clinic"),
        ("room", "call-1"),
    ],
)
async def test_a_wrong_field_is_named(gateway: Client, field: str, value: object) -> None:
    body: dict[str, Any] = {field: value}
    status, error = await start(gateway, **body)
    assert (status, error["error"]) == (422, "invalid")
    assert field in error["details"]


async def test_browsers_may_reach_livekit_elsewhere(start_gateway: GatewayStarter) -> None:
    elsewhere = "wss://livekit.example.com"
    gateway = await start_gateway(web={"calls": True, "livekit_url": elsewhere})
    _, started = await start(gateway)
    assert started["server_url"] == elsewhere
