"""A gateway that sends scripted responses to `POST /dispatch` and records the requests."""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

CALL_ID = "outbound-9f1a2b3c4d"


@dataclass(frozen=True)
class Response:
    """A `body` of text is HTML, as a proxy sends it."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


class Drop:
    """The connection is closed without a response."""


def accepted(**more: object) -> Response:
    body = {
        "dispatch_id": "AD_abc123",
        "job_id": "AJ_def456",
        "room": CALL_ID,
        "agent_name": "example-outbound-agent",
        "metadata": {"ticket_id": "INC-1234"},
        "call_id": CALL_ID,
        "call_status": "registered",
    }
    return Response(200, {**body, **more})


def refused(status: int, error: str, message: str, **more: object) -> Response:
    return Response(status, {"error": error, "message": message, **more})


@dataclass(frozen=True)
class Request:
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass
class ScriptedGateway:
    """Sends the `responses` in order, each once; the last is repeated."""

    responses: deque[Response | Drop] = field(default_factory=lambda: deque([accepted()]))
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def script(self, *responses: Response | Drop) -> None:
        self.responses = deque(responses)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ScriptedGateway"]:
        app = web.Application()
        app.router.add_post("/dispatch", self._dispatch)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    async def _dispatch(self, request: web.Request) -> web.Response:
        self.requests.append(Request(request.headers.copy(), await request.json()))
        response = self.responses.popleft() if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, Drop):
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(response.body, str):
            return web.Response(
                text=response.body, status=response.status, content_type="text/html"
            )
        return web.json_response(response.body, status=response.status, headers=response.headers)
