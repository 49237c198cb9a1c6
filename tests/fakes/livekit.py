"""A LiveKit server API in the test's own process: Twirp over HTTP, recording, failing on demand."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from google.protobuf.message import Message
from livekit import api
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    DeleteRoomResponse,
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsRequest,
    ListRoomsResponse,
)

M = TypeVar("M", bound=Message)

KEY = "fake-key"
SECRET = "fake-secret-of-at-least-thirty-two-bytes"


@dataclass(frozen=True)
class Refusal:
    """A Twirp error as LiveKit answers it."""

    status: int
    code: str
    msg: str


class Drop:
    """The connection is closed without an answer."""


class Hang:
    """No answer comes."""


@dataclass
class FakeLiveKit:
    """Rooms in a dictionary. Each entry of `failures` meets one request, the oldest first."""

    failures: deque[Refusal | Drop | Hang] = field(default_factory=deque)
    rooms: dict[str, Room] = field(default_factory=dict)
    participants: dict[str, list[ParticipantInfo]] = field(default_factory=dict)
    requests: list[tuple[str, Message]] = field(default_factory=list)
    url: str = ""

    def requested(self, kind: type[M]) -> list[M]:
        """What was asked with messages of `kind`, failed requests included."""
        return [message for _, message in self.requests if isinstance(message, kind)]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FakeLiveKit"]:
        app = web.Application()
        app.router.add_post("/twirp/livekit.RoomService/{method}", self._answer)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        methods: dict[str, tuple[type[Message], Callable[[Any], Message | Refusal]]] = {
            "CreateRoom": (CreateRoomRequest, self._create_room),
            "DeleteRoom": (DeleteRoomRequest, self._delete_room),
            "ListRooms": (ListRoomsRequest, self._list_rooms),
            "ListParticipants": (ListParticipantsRequest, self._list_participants),
        }
        kind, respond = methods[method]
        message = kind.FromString(await request.read())
        self.requests.append((method, message))
        if self.failures:
            return await self._fail(request, self.failures.popleft())
        try:
            token = request.headers["Authorization"].removeprefix("Bearer ")
            api.TokenVerifier(KEY, SECRET).verify(token)
        except jwt.InvalidTokenError:
            return _refuse(Refusal(401, "unauthenticated", "invalid API key"))
        answer = respond(message)
        if isinstance(answer, Refusal):
            return _refuse(answer)
        return web.Response(body=answer.SerializeToString(), content_type="application/protobuf")

    async def _fail(self, request: web.Request, failure: Refusal | Drop | Hang) -> web.Response:
        if isinstance(failure, Refusal):
            return _refuse(failure)
        if isinstance(failure, Hang):
            await asyncio.sleep(30)
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    def _create_room(self, request: CreateRoomRequest) -> Room:
        room = Room(sid=f"RM_{request.name}", name=request.name, metadata=request.metadata)
        return self.rooms.setdefault(request.name, room)

    def _delete_room(self, request: DeleteRoomRequest) -> DeleteRoomResponse | Refusal:
        if self.rooms.pop(request.room, None) is None:
            return Refusal(404, "not_found", "requested room does not exist")
        return DeleteRoomResponse()

    def _list_rooms(self, request: ListRoomsRequest) -> ListRoomsResponse:
        names = set(request.names)
        rooms = [room for room in self.rooms.values() if not names or room.name in names]
        return ListRoomsResponse(rooms=rooms)

    def _list_participants(self, request: ListParticipantsRequest) -> ListParticipantsResponse:
        return ListParticipantsResponse(participants=self.participants.get(request.room, []))


def _refuse(refusal: Refusal) -> web.Response:
    body = {"code": refusal.code, "msg": refusal.msg}
    return web.json_response(body, status=refusal.status)
