"""A gateway in the test's own process: answers `POST /dispatch` as it is told to, and records."""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

CALL_ID = "outbound-9f1a2b3c4d"


@dataclass(frozen=True)
class Answer:
    """A body of text is one that a proxy on the way has written."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


class Drop:
    """The connection is closed without an answer."""


def accepted(**more: object) -> Answer:
    body = {
        "dispatch_id": "AD_abc123",
        "job_id": "AJ_def456",
        "room": CALL_ID,
        "agent_name": "nehos-outbound-agent",
        "metadata": {"ticket_id": "INC-1234"},
        "call_id": CALL_ID,
        "call_status": "registered",
    }
    return Answer(200, {**body, **more})


def refused(status: int, error: str, message: str, **more: object) -> Answer:
    return Answer(status, {"error": error, "message": message, **more})


@dataclass(frozen=True)
class Asked:
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass
class ScriptedGateway:
    """Each entry of `answers` meets one request, the oldest first; the last one stays."""

    answers: deque[Answer | Drop] = field(default_factory=lambda: deque([accepted()]))
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def says(self, *answers: Answer | Drop) -> None:
        self.answers = deque(answers)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ScriptedGateway"]:
        app = web.Application()
        app.router.add_post("/dispatch", self._dispatch)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    async def _dispatch(self, request: web.Request) -> web.Response:
        self.asked.append(Asked(request.headers.copy(), await request.json()))
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Drop):
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(answer.body, str):
            return web.Response(text=answer.body, status=answer.status, content_type="text/html")
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)
