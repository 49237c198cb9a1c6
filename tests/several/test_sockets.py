"""Jambonz's WebSocket of a call: the gateway that holds it stops, and another one continues."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.jambonz import basic_auth, urls
from gateway.jambonz.websocket import SUBPROTOCOL
from tests.fakes.jambonz_socket import CREDENTIALS, SocketJambonz
from tests.several.group import CALLED, CALLER, LIMIT, Group


@asynccontextmanager
async def opened(group: Group, url: str, call_sid: str) -> AsyncIterator[SocketJambonz]:
    """A socket of the call `call_sid`, at `url`."""
    headers = {"Authorization": basic_auth.encode(CREDENTIALS)}
    async with group.http.ws_connect(
        f"{url}{urls.CALL_HOOK}", protocols=(SUBPROTOCOL,), headers=headers
    ) as socket:
        yield SocketJambonz(group.http, "", "", CALLER, CALLED, call_sid, socket=socket)


@pytest.mark.field("J10")
async def test_a_call_continues_at_another_gateway_when_one_stops(group: Group) -> None:
    first, _ = group.gateways
    call_sid = str(uuid.uuid4())
    async with opened(group, f"http://{first.address}", call_sid) as jambonz:
        verbs = await jambonz.call_arrives()
        stopping = asyncio.create_task(first.terminate())
        async with asyncio.timeout(LIMIT):
            await jambonz.socket.receive()
        assert jambonz.socket.close_code == 1001
    assert await stopping == 0
    async with opened(group, group.url, call_sid) as jambonz:
        msgid = await jambonz.send("session:reconnect", jambonz._leg("trying", 100))
        assert await jambonz.acknowledged(msgid) == verbs
        await jambonz.status("in-progress")
        hook = verbs[0]["actionHook"]
        assert await jambonz.dial_ends(hook, "completed", "completed", 200) == []
    call = await group.wait_for_end(verbs[0]["headers"]["X-Call-Id"])
    assert call["disconnection_reason"] == "user_hangup"
