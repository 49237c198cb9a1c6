"""`GET /livekit-api` as a WebSocket of Jambonz: each message is answered as the hook that it is.

Messages of a socket are answered one after the other, so a socket has one answer in progress, and
what it sends meanwhile waits in its connection.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from gateway.api.auth import JAMBONZ_SOCKET
from gateway.api.endpoints import Endpoint, Request
from gateway.api.errors import errors_to_responses
from gateway.api.limits import Workload
from gateway.api.measuring import count_request
from gateway.api.parsing import load, parsed
from gateway.api.routes import jambonz
from gateway.api.schemas.messages import MessageSchema
from gateway.errors import ApiError, ErrorCode
from gateway.jambonz import urls, websocket
from gateway.jambonz.websocket import Message
from gateway.telemetry import tracing

log = structlog.get_logger()

#: Between two pings, in s. A socket that does not answer one within half of it is closed.
HEARTBEAT = 30.0
#: How long the other side may take to close the socket, or to read an answer, in s.
CLOSE_TIMEOUT = 2.0
SEND_TIMEOUT = 5.0

MESSAGE = MessageSchema()
#: How much of an error of Jambonz is logged, in characters.
ERROR_LENGTH = 200

#: What answers messages, by the path of the hook that they are.
HOOKS = {
    value.path: value
    for value in vars(jambonz).values()
    if isinstance(value, Endpoint) and value.method == "POST"
}


@Endpoint(
    "GET",
    urls.CALL_HOOK,
    "WebSocket of a call: Jambonz's hooks as messages, subprotocol `ws.jambonz.org`",
    authentication=JAMBONZ_SOCKET,
    answers={101: None},
    raises=(ErrorCode.UPGRADE_REQUIRED,),
    workload=Workload.SOCKETS,
)
async def call_socket(request: Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(
        protocols=(websocket.SUBPROTOCOL,),
        heartbeat=HEARTBEAT,
        timeout=CLOSE_TIMEOUT,
        max_msg_size=request.services.config.limits.max_body_bytes,
        compress=False,
    )
    _check_upgrade(request.http, socket)
    await socket.prepare(request.http)
    await CallSocket(request, socket).run()
    return socket


def _check_upgrade(request: web.Request, socket: web.WebSocketResponse) -> None:
    """Raises ApiError 426 for a request that opens no WebSocket as Jambonz does."""
    if socket.can_prepare(request).protocol != websocket.SUBPROTOCOL:
        message = f"open a WebSocket with the subprotocol {websocket.SUBPROTOCOL}, or POST the hook"
        raise ApiError(ErrorCode.UPGRADE_REQUIRED, message)


class CallSocket:
    """An open socket, from its first message, which is due within `limits.read_timeout`."""

    def __init__(self, request: Request, socket: web.WebSocketResponse) -> None:
        self._http = request.http
        self._config = request.services.config
        self._socket = socket
        self._stopping = asyncio.ensure_future(request.services.stopping.wait())

    async def run(self) -> None:
        """Answer messages until Jambonz closes the socket, breaks the protocol, or we stop."""
        try:
            patience: float | None = self._config.limits.read_timeout
            while frame := await self._receive(patience):
                await self._on_frame(frame)
                patience = None
        except (ConnectionError, TimeoutError):
            # It does not read. Nothing else waits for it.
            if self._http.transport:
                self._http.transport.abort()
        finally:
            self._stopping.cancel()

    async def _receive(self, patience: float | None) -> WSMessage | None:
        """The next frame with a message, within `patience` s; None if there will be none."""
        receiving = asyncio.ensure_future(self._socket.receive())
        try:
            await asyncio.wait(
                {receiving, self._stopping}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            if receiving.done():
                frame = receiving.result()
                return frame if frame.type in {WSMsgType.TEXT, WSMsgType.BINARY} else None
        finally:
            receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        # Jambonz opens another socket, at another gateway or at this one once it runs again.
        code = WSCloseCode.GOING_AWAY if self._stopping.done() else WSCloseCode.POLICY_VIOLATION
        await self._socket.close(code=code)
        return None

    async def _on_frame(self, frame: WSMessage) -> None:
        if frame.type is WSMsgType.BINARY:
            await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"send JSON text")
            return
        try:
            message: Message = load(MESSAGE, _object(frame.data))
        except ApiError as error:
            log.warning("socket.unreadable", error=error.message, details=error.details)
            # A reason has at most 123 bytes (RFC 6455 §5.5).
            reason = error.message.encode()[:123]
            await self._socket.close(code=WSCloseCode.INVALID_TEXT, message=reason)
            return
        if message.type == websocket.ERROR:
            log.warning("jambonz.error", error=str(message.data.get("msg"))[:ERROR_LENGTH])
        answer = await self._answer(message)
        if message.wants_ack and answer is not None:
            text = json.dumps(websocket.ack(message, answer))
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._socket.send_str(text)

    async def _answer(self, message: Message) -> Sequence[Any] | None:
        """The verbs that answer `message`; None if it must not be acknowledged."""
        if not message.path:
            return []

        async def handle(http: web.Request) -> web.StreamResponse:
            if message.path not in HOOKS:
                raise ApiError(ErrorCode.NOT_FOUND, f"no hook has the path {message.path}")
            endpoint = HOOKS[message.path]
            return await endpoint.handle_message(http, message.body, message.query)

        came_with, began = {"b3": message.b3}, time.perf_counter()
        with tracing.request("POST", message.path, came_with, is_authenticated=True) as trace:
            response = await errors_to_responses(self._http, handle)
            if trace:
                trace.end(response.status)
        if message.path in HOOKS:
            seconds = time.perf_counter() - began
            count_request(self._http, f"POST {message.path}", seconds, response.status)
        if response.status >= 300:
            return websocket.answer_to_refused(message)
        verbs = json.loads((isinstance(response, web.Response) and response.text) or "[]")
        return [urls.relative_hooks(verb, self._config.server.public_url) for verb in verbs]


def _object(text: str) -> dict[str, Any]:
    """`text` as a JSON object. Raises ApiError."""
    try:
        content = parsed(text)
    except (ValueError, RecursionError) as error:
        raise ApiError(ErrorCode.NOT_JSON, f"the message is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ApiError(ErrorCode.INVALID, "the message must be a JSON object")
    return content
