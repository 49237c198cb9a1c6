"""Hooks of a live Jambonz as messages on a WebSocket: the same verbs, and the same end."""

import json

import pytest

from tests.conftest import Client, GatewayStarter, list_calls
from tests.fakes.jambonz_socket import ENV, SocketJambonz
from tests.jambonz.replay import live_requests, verb_names
from tests.jambonz.test_live_hooks import OUTCOMES


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(ENV, transfer={"allowed": ["+61*"]})


@pytest.mark.field("J10")
@pytest.mark.parametrize(
    "name", ["websocket", "room-digest-trunk", "room-transfer", "room-caller-gives-up"]
)
async def test_a_live_call_over_a_socket(gateway: Client, name: str) -> None:
    hooks = [request for request in live_requests(name) if request.hook]
    async with SocketJambonz.opened(gateway) as jambonz:
        recorded_id = call_id = ""
        for request in hooks:
            uri, body = request.uri, json.dumps(request.body)
            if call_id:
                uri, body = (text.replace(recorded_id, call_id) for text in (uri, body))
            verbs = await jambonz._post(uri, json.loads(body))
            if verbs is None:
                continue
            assert verb_names(verbs) == request.recorded_verbs, uri
            if not call_id:
                call_id = verbs[0]["headers"]["X-Call-Id"]
                recorded_id = request.recorded_answer[0]["headers"]["X-Call-Id"]
        # A status is not acknowledged: what comes after it is answered once it has been read.
        await jambonz.acknowledged(await jambonz.send("session:adulting", {}))
    (call,) = (await list_calls(gateway, "?include=ended"))["calls"]
    assert (call["call_status"], call["disconnection_reason"]) == OUTCOMES[name]
