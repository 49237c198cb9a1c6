"""A simulated Jambonz whose call hook is a WebSocket, as with jambonz-feature-server 0.9.8."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

from gateway.calls.destinations import Credentials
from gateway.jambonz import basic_auth, urls
from gateway.jambonz.websocket import SUBPROTOCOL
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import Client

CREDENTIALS = Credentials("jambonz", "socket-password")
#: The settings of a gateway that this Jambonz may open sockets at.
ENV = {"JAMBONZ_WEBHOOK_AUTH": f"{CREDENTIALS.username}:{CREDENTIALS.password}"}
#: How long Jambonz waits for an acknowledgement, in s.
ACK_LIMIT = 5.0

_TYPES = {
    urls.CALL_HOOK: "session:new",
    urls.CALL_STATUS_HOOK: "call:status",
    urls.CONFIRM_HOOK: "dial:confirm",
}
#: Messages that name their hook.
_WITH_HOOK = {"verb:hook", "dial:confirm"}


@dataclass
class SocketJambonz(Jambonz):
    """As `Jambonz`, but all hooks are messages on one socket: `opened()` opens it."""

    socket: aiohttp.ClientWebSocketResponse = field(kw_only=True)

    @classmethod
    @asynccontextmanager
    async def opened(cls, client: Client, **changes: Any) -> AsyncIterator[Self]:
        """A call; `changes` are arguments of `Jambonz`, as the `call_sid` of another socket."""
        async with open_socket(client) as socket:
            numbers = {"from_number": "+15550100", "to_number": "+15550199"}
            yield cls(client.session, "", "", socket=socket, **{**numbers, **changes})

    async def send(self, kind: str, data: Mapping[str, object], hook: str = "") -> str:
        """Send a message; returns its msgid."""
        msgid = secrets.token_hex(8)
        message = {"type": kind, "msgid": msgid, "call_sid": self.call_sid, "data": data}
        await self.socket.send_str(json.dumps({**message, "hook": hook} if hook else message))
        return msgid

    async def acknowledged(self, msgid: str) -> Any:
        """The data of the next message, which must acknowledge `msgid`."""
        async with asyncio.timeout(ACK_LIMIT):
            message = await self.socket.receive_json()
        assert (message["type"], message["msgid"]) == ("ack", msgid)
        return message["data"]

    async def _post(self, path: str, payload: Mapping[str, object]) -> Any:
        kind = _TYPES.get(path.partition("?")[0], "verb:hook")
        msgid = await self.send(kind, payload, path if kind in _WITH_HOOK else "")
        return None if kind == "call:status" else await self.acknowledged(msgid)


@asynccontextmanager
async def open_socket(
    client: Client,
    *,
    credentials: Credentials | None = CREDENTIALS,
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,),
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A socket at the gateway of `client`. Raises aiohttp.WSServerHandshakeError."""
    headers = {"Authorization": basic_auth.encode(credentials)} if credentials else {}
    async with client.session.ws_connect(
        client.make_url(urls.CALL_HOOK), protocols=subprotocols, headers=headers
    ) as socket:
        yield socket
