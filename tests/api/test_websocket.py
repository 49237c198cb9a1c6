"""A call whose hooks come over one WebSocket: the same answers as by HTTP, and its limits."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import WSCloseCode
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import CreateRoomRequest
from structlog.testing import capture_logs

from gateway.api.services import SERVICES
from gateway.calls.destinations import Credentials
from gateway.jambonz import basic_auth, urls
from tests.conftest import Client, GatewayStarter, get_call, jambonz_for, list_calls
from tests.fakes.jambonz_socket import CREDENTIALS, ENV, SocketJambonz, open_socket
from tests.fakes.livekit import FakeLiveKit, Hang
from tests.jambonz.schemas import assert_valid_verbs
from tests.transfers.test_requested_by_agents import agent_asks

pytestmark = pytest.mark.field("J10")

TARGET = "+61491570156"
SIP = ParticipantInfo.Kind.SIP
FALLBACK = [{"sip": "sip:desk@pbx.example.com"}]
PUBLIC_URL = "https://gw.example.com/voice"
#: How long a step may take, in s.
LIMIT = 5.0


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(
        {**ENV, "GATEWAY_PUBLIC_URL": PUBLIC_URL},
        inbound={"fallback": FALLBACK},
        transfer={"allowed": [TARGET]},
    )


async def close_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code with which the gateway closes the socket."""
    async with asyncio.timeout(LIMIT):
        await socket.receive()
    return socket.close_code


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_call_from_its_hook_to_its_end(gateway: Client) -> None:
    async with SocketJambonz.opened(gateway) as jambonz:
        (dial,) = await jambonz.call_arrives()
        assert_valid_verbs([dial])
        call_id = dial["headers"]["X-Call-Id"]
        # Jambonz sends relative hooks over the socket, and would post absolute ones.
        assert dial["actionHook"] == f"/livekit-api/dial-action?fallback=0&call_id={call_id}"
        assert dial["referHook"] == "/livekit-api/refer"
        await jambonz.status("trying", 100)
        await jambonz.far_status("ringing", 180)
        await jambonz.far_status("in-progress")
        await jambonz.status("in-progress")
        assert await jambonz.dial_ends(dial["actionHook"], "completed", "completed", 200) == []
        assert (await get_call(gateway, call_id))["call_status"] == "ended"
        await jambonz.status("completed", call_termination_by="caller", duration=5)
        await jambonz.call_arrives()  # answered after the status, which is not acknowledged
    call = await get_call(gateway, call_id)
    assert (call["disconnection_reason"], call["jambonz"]["call_sid"]) == (
        "user_hangup",
        jambonz.call_sid,
    )


async def test_a_failed_dial_goes_to_the_fallback(gateway: Client) -> None:
    async with SocketJambonz.opened(gateway) as jambonz:
        (dial,) = await jambonz.call_arrives()
        (fallback,) = await jambonz.dial_ends(dial["actionHook"], "trying", "busy", 486)
        assert fallback["target"] == [{"type": "sip", "sipUri": "sip:desk@pbx.example.com"}]
        assert fallback["actionHook"].startswith("/livekit-api/dial-action?fallback=1&call_id=")
        (decline,) = await jambonz.dial_ends(fallback["actionHook"], "trying", "busy", 486)
        assert (decline["verb"], decline["status"]) == ("sip:decline", 486)


async def test_a_refer_is_answered_and_a_refused_one_is_not_acknowledged(gateway: Client) -> None:
    async with SocketJambonz.opened(gateway) as jambonz:
        (dial,) = await jambonz.call_arrives()
        await jambonz.far_status("in-progress")
        details = {"refer_details": {"sip_refer_to": "<tel:+15550199>"}}
        refused = {**jambonz._far_leg("in-progress", 200), **details}
        # Any acknowledgement would accept the REFER. The next message is the next one's.
        await jambonz.send("verb:hook", refused, dial["referHook"])
        transfer, after = await jambonz.refers(dial["referHook"], f"<tel:{TARGET}>")
    assert (transfer["target"][0]["number"], after["verb"]) == (TARGET, "hangup")
    assert transfer["actionHook"].startswith("/livekit-api/transfer-action?call_id=call-")


async def test_a_transfer_is_announced_to_its_target(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    async with SocketJambonz.opened(gateway) as jambonz:
        (dial,) = await jambonz.call_arrives()
        call_id = dial["headers"]["X-Call-Id"]
        await jambonz.far_status("in-progress")
        fake_livekit.add_participant(call_id, SIP, "who", {"sip.ruleID": "SDR_1"})
        assert await agent_asks(gateway, call_id, {"target": TARGET, "kind": "announced"}) == 204
        transfer, _ = await jambonz.refers(dial["referHook"], f"<tel:{TARGET}>")
        gather, _ = await jambonz.confirms(transfer["confirmHook"])
        (pause,) = await jambonz.presses(gather["actionHook"], "1")
        assert pause["verb"] == "pause"
        # A target of a call that has ended, as one that the gateway refuses, is hung up on.
        assert await jambonz.confirms(transfer["confirmHook"]) == [{"verb": "hangup"}]
        assert await jambonz.confirms("/livekit-api/confirm") == [{"verb": "hangup"}]
    assert (await get_call(gateway, call_id))["disconnection_reason"] == "call_transfer"


async def test_a_lost_socket_is_continued_by_another(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    async with SocketJambonz.opened(gateway) as lost:
        verbs = await lost.call_arrives()
    async with SocketJambonz.opened(gateway, call_sid=lost.call_sid) as jambonz:
        msgid = await jambonz.send("session:reconnect", jambonz._leg("trying", 100))
        assert await jambonz.acknowledged(msgid) == verbs
        await jambonz.status("no-answer", 487)
        msgid = await jambonz.send("session:redirect", jambonz._leg("trying", 100), "/livekit-api")
        await jambonz.acknowledged(msgid)
    assert len(fake_livekit.requested(CreateRoomRequest)) == 1
    (call,) = (await list_calls(gateway, "?include=ended"))["calls"]
    assert call["disconnection_reason"] == "user_hangup"


async def test_a_reconnected_socket_of_an_ended_call_begins_no_other(gateway: Client) -> None:
    async with SocketJambonz.opened(gateway) as jambonz:
        await jambonz.call_arrives()
        await jambonz.status("completed", call_termination_by="caller", duration=1)
        msgid = await jambonz.send("session:reconnect", jambonz._leg("in-progress", 200))
        await jambonz.acknowledged(msgid)
    assert len((await list_calls(gateway, "?include=ended"))["calls"]) == 1


async def test_messages_that_are_no_hooks_are_acknowledged_if_jambonz_waits(
    gateway: Client,
) -> None:
    async with SocketJambonz.opened(gateway) as jambonz:
        with capture_logs() as logs:
            await jambonz.send("jambonz:error", {"msg": "SpeechCredentialError", "verb": "say"})
            await jambonz.send("verb:status", {"event": "start-playback"})
            msgid = await jambonz.send("session:adulting", jambonz._leg("in-progress", 200))
            assert await jambonz.acknowledged(msgid) == []
    assert {"event": "jambonz.error", "error": "SpeechCredentialError"} in [
        {key: entry.get(key) for key in ("event", "error")} for entry in logs
    ]


@pytest.mark.parametrize(
    ("kind", "data", "hook", "verb"),
    [
        ("session:new", {}, "", "sip:decline"),
        ("session:new", {"call_sid": 5, "call_status": "in-progress"}, "", "hangup"),
        ("session:redirect", {"call_sid": "1"}, "/nowhere", "sip:decline"),
        ("verb:hook", {"call_sid": "1"}, "/livekit-api/dial-action", ""),
        ("verb:hook", {"call_sid": "1"}, "/nowhere", ""),
        ("verb:hook", {"call_sid": "1"}, "/livekit-api/queue-wait?call_id=", ""),
    ],
)
async def test_a_refused_message_is_answered_as_jambonz_answers_a_failed_hook(
    gateway: Client, kind: str, data: dict[str, Any], hook: str, verb: str
) -> None:
    async with SocketJambonz.opened(gateway) as jambonz:
        verbs = await jambonz.acknowledged(await jambonz.send(kind, data, hook))
        assert [each["verb"] for each in verbs] == ([verb] if verb else [])
        if verbs:
            assert_valid_verbs(verbs)
        assert (await jambonz.call_arrives())[0]["verb"] == "dial", "the socket goes on"


@pytest.mark.parametrize("credentials", [None, Credentials("jambonz", "wrong")])
@pytest.mark.parametrize("env", [ENV, {}], ids=["basic auth", "signature only"])
async def test_a_socket_needs_basic_auth(
    start_gateway: GatewayStarter, env: dict[str, str], credentials: Credentials | None
) -> None:
    gateway = await start_gateway(env)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with open_socket(gateway, credentials=credentials):
            pass
    assert refused.value.status == 401


async def test_the_refusal_says_what_to_set(gateway: Client) -> None:
    async with gateway.get(urls.CALL_HOOK) as response:
        content = await response.json()
    assert (response.status, content["error"]) == (401, "bad_basic_auth")
    assert "JAMBONZ_WEBHOOK_AUTH" in content["message"]


async def test_without_any_authentication_sockets_are_open_as_hooks_are(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway({"JAMBONZ_WEBHOOK_SECRET": ""})
    async with open_socket(gateway, credentials=None) as socket:
        assert socket.protocol == "ws.jambonz.org"


async def test_a_request_that_opens_no_socket_of_jambonz_is_refused(gateway: Client) -> None:
    headers = {"Authorization": basic_auth.encode(CREDENTIALS)}
    async with gateway.get(urls.CALL_HOOK, headers=headers) as response:
        assert response.status == 426
        assert (await response.json())["error"] == "upgrade_required"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with open_socket(gateway, subprotocols=("audio.jambonz.org",)):
            pass
    assert refused.value.status == 426


@pytest.mark.parametrize(
    "text",
    ["no JSON", "[1]", "{}", '{"type": 5}', '{"type": "verb:hook", "hook": "http://["}', "[" * 500],
)
async def test_text_that_is_no_message_closes_the_socket(gateway: Client, text: str) -> None:
    async with open_socket(gateway) as socket:
        await socket.send_str(text)
        assert await close_code(socket) == WSCloseCode.INVALID_TEXT


async def test_binary_and_large_messages_close_the_socket(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(ENV, limits={"max_body_bytes": 1024})
    async with open_socket(gateway) as socket:
        await socket.send_bytes(b"{}")
        assert await close_code(socket) == WSCloseCode.UNSUPPORTED_DATA
    async with open_socket(gateway) as socket:
        await socket.send_str(json.dumps({"type": "session:new", "data": {"a": "x" * 2000}}))
        assert await close_code(socket) == WSCloseCode.MESSAGE_TOO_BIG


async def test_a_socket_that_says_nothing_is_closed(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(ENV, limits={"read_timeout": 0.2})
    async with open_socket(gateway) as silent, SocketJambonz.opened(gateway) as jambonz:
        await jambonz.call_arrives()
        assert await close_code(silent) == WSCloseCode.POLICY_VIOLATION
        assert await jambonz.call_arrives(), "a socket may be quiet after its first message"


async def test_sockets_are_bounded(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(ENV, limits={"max_sockets": 1})
    async with SocketJambonz.opened(gateway) as jambonz:
        await jambonz.call_arrives()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with open_socket(gateway):
                pass
        assert refused.value.status == 503
        assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial", "hooks go on"


async def test_new_calls_over_sockets_count_as_new_calls(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(ENV, limits={"max_requests": 1}, livekit={"timeout": 2})
    fake_livekit.failures.append(Hang())
    async with SocketJambonz.opened(gateway) as slow, SocketJambonz.opened(gateway) as other:
        msgid = await slow.send("session:new", slow._leg("trying", 100))
        await until(lambda: bool(fake_livekit.requested(CreateRoomRequest)))
        (decline,) = await other.call_arrives()
        assert (decline["verb"], decline["status"]) == ("sip:decline", 480)
        # Other hooks have no limit, and one slow socket delays no other.
        assert await other.dial_ends("/livekit-api/dial-action", "completed", "failed", 487) == []
        await slow.acknowledged(msgid)


async def test_a_gateway_that_stops_answers_and_then_closes_its_sockets(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(ENV, livekit={"timeout": 1})
    fake_livekit.failures.append(Hang())
    async with SocketJambonz.opened(gateway) as jambonz, SocketJambonz.opened(gateway) as idle:
        await idle.send("verb:status", {})
        msgid = await jambonz.send("session:new", jambonz._leg("trying", 100))
        await until(lambda: bool(fake_livekit.requested(CreateRoomRequest)))
        gateway.app[SERVICES].stopping.set()
        assert await close_code(idle.socket) == WSCloseCode.GOING_AWAY
        assert_valid_verbs(await jambonz.acknowledged(msgid))
        assert await close_code(jambonz.socket) == WSCloseCode.GOING_AWAY
