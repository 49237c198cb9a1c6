"""LiveKit's server API in the test's process: Twirp over HTTP; it records requests and can fail."""

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, MutableSequence, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jwt
from aiohttp import web
from google.protobuf.message import Message
from livekit import api
from livekit.protocol.agent import Job
from livekit.protocol.agent_dispatch import (
    AgentDispatch,
    ListAgentDispatchRequest,
    ListAgentDispatchResponse,
)
from livekit.protocol.models import ParticipantInfo, Room, TrackInfo, TrackType
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    DeleteRoomResponse,
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    RemoveParticipantResponse,
    RoomParticipantIdentity,
)
from livekit.protocol.sip import (
    CreateSIPParticipantRequest,
    ListSIPDispatchRuleRequest,
    ListSIPDispatchRuleResponse,
    ListSIPInboundTrunkRequest,
    ListSIPInboundTrunkResponse,
    ListSIPOutboundTrunkRequest,
    ListSIPOutboundTrunkResponse,
    SIPDispatchRuleInfo,
    SIPInboundTrunkInfo,
    SIPOutboundTrunkInfo,
    SIPParticipantInfo,
    TransferSIPParticipantRequest,
    TransferSIPParticipantResponse,
)

M = TypeVar("M", bound=Message)

AGENT_AUDIO = TrackInfo(sid="TR_agent", type=TrackType.AUDIO)

KEY = "fake-key"
SECRET = "fake-secret-of-at-least-thirty-two-bytes"


@dataclass(frozen=True)
class TwirpError:
    """An error response as LiveKit sends it."""

    status: int
    code: str
    msg: str
    meta: Mapping[str, str] = field(default_factory=dict)


class Drop:
    """The connection is closed without a response."""


class Hang:
    """No response comes for 30 s, then the connection is closed."""


@dataclass(frozen=True)
class Raw:
    """An answer that LiveKit would not give, such as a proxy's page."""

    status: int
    body: bytes
    content_type: str = "text/html"


Failure = TwirpError | Drop | Hang | Raw

#: What proxies, other programs and damaged servers answer.
GARBAGE: Sequence[Raw] = (
    Raw(200, b"<!DOCTYPE html><title>Sign in</title>"),
    Raw(200, b"\xff\xfe\x0a\x01", "application/protobuf"),
    Raw(200, b"", "text/plain"),
    Raw(502, b"<h1>Bad Gateway</h1>"),
    Raw(503, b"[]", "application/json"),
    Raw(500, b'"unavailable"', "application/json"),
    Raw(500, b"null", "application/json"),
    Raw(500, b'{"code": 14, "msg": null}', "application/json"),
    Raw(500, b'{"code": "unavailable", "msg": "x", "meta": ["a"]}', "application/json"),
    Raw(503, b'{"code": "unavailable", "meta": {"a": {"b": 1}}}', "application/json"),
    Raw(500, b"\xff" * 10, "application/json; charset=utf-8"),
)


@dataclass
class Callee:
    """How a number reacts to being dialed: it answers, unless `sip` or `failure` is set.

    `sip` is the status and reason of a SIP response, `failure` what the request to LiveKit fails
    with; where the callee `is_connected` only LiveKit's response is lost. The number rings until
    the event `rings` is set.
    """

    sip: tuple[int, str] | None = None
    failure: Failure | None = None
    is_connected: bool = False
    rings: asyncio.Event | None = None


@dataclass
class FakeLiveKit:
    """Keeps rooms in a dictionary. Each entry of `failures` is for one request, None lets it pass.

    `workers` are the agent names that take jobs: in rooms of outbound calls their agents are at
    once, with an audio track unless `agents_are_silent`. `callees` are by number. With
    `transfer_error` transfers fail. The first request of each method in `lost_answers` is carried
    out, and its answer lost. `on_request` gets a request's method and "before" or "after": when
    it is carried out.
    """

    failures: deque[Failure | None] = field(default_factory=deque)
    rooms: dict[str, Room] = field(default_factory=dict)
    participants: dict[str, list[ParticipantInfo]] = field(default_factory=dict)
    requests: MutableSequence[tuple[str, Message]] = field(default_factory=list)
    dispatches: list[AgentDispatch] = field(default_factory=list)
    workers: set[str] = field(default_factory=lambda: {"nehos-outbound-agent"})
    callees: dict[str, Callee] = field(default_factory=dict)
    inbound_trunks: list[SIPInboundTrunkInfo] = field(default_factory=list)
    outbound_trunks: list[SIPOutboundTrunkInfo] = field(default_factory=list)
    dispatch_rules: list[SIPDispatchRuleInfo] = field(default_factory=list)
    transfer_error: TwirpError | None = None
    agents_are_silent: bool = False
    lost_answers: list[str] = field(default_factory=list)
    on_request: Callable[[str, str], None] = lambda _method, _moment: None
    url: str = ""

    def add_participant(
        self,
        room: str,
        kind: ParticipantInfo.Kind,
        identity: str,
        attributes: Mapping[str, str] | None = None,
        *,
        joined_at: int = 0,
        tracks: Sequence[TrackInfo] | None = None,
    ) -> None:
        """Add one who joined the room at `joined_at` (ms since epoch); an agent can be heard."""
        if tracks is None:
            tracks = [AGENT_AUDIO] if kind == ParticipantInfo.Kind.AGENT else []
        participant = ParticipantInfo(
            identity=identity,
            kind=kind,
            attributes=attributes,
            joined_at_ms=joined_at,
            tracks=tracks,
        )
        self.participants.setdefault(room, []).append(participant)

    def requested(self, kind: type[M]) -> list[M]:
        """The requests with messages of `kind`, those that failed included."""
        return [message for _, message in self.requests if isinstance(message, kind)]

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/twirp/{service}/{method}", self._respond)
        return app

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FakeLiveKit"]:
        # Unlike aiohttp's TestServer it finishes a request whose client has disconnected.
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0]
            self.url = f"http://{host}:{port}"
            yield self
        finally:
            await runner.cleanup()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        kind = self._methods()[method][0]
        message = kind.FromString(await request.read())
        self.requests.append((method, message))
        self.on_request(method, "before")
        failure = await self.failure_of(method, message)
        if failure:
            return await self._fail(request, failure)
        try:
            _verify(request.headers["Authorization"].removeprefix("Bearer "))
        except jwt.InvalidTokenError:
            return _error_response(TwirpError(401, "unauthenticated", "invalid API key"))
        result = self.perform(method, message)
        self.on_request(method, "after")
        if method in self.lost_answers:
            self.lost_answers.remove(method)
            return await self._fail(request, Drop())
        if isinstance(result, TwirpError):
            return _error_response(result)
        return web.Response(body=result.SerializeToString(), content_type="application/protobuf")

    async def failure_of(self, method: str, message: Message) -> Failure | None:
        """Wait as long as the request takes; what it fails with, or None."""
        if self.failures and (failure := self.failures.popleft()):
            return failure
        if isinstance(message, CreateSIPParticipantRequest):
            return await self._dial(message)
        return None

    def perform(self, method: str, message: Message) -> Message | TwirpError:
        """Carry out the request; its result."""
        return self._methods()[method][1](message)

    def _methods(self) -> Mapping[str, tuple[type[Message], Callable[[Any], Message | TwirpError]]]:
        return {
            "CreateRoom": (CreateRoomRequest, self._create_room),
            "DeleteRoom": (DeleteRoomRequest, self._delete_room),
            "ListRooms": (ListRoomsRequest, self._list_rooms),
            "ListParticipants": (ListParticipantsRequest, self._list_participants),
            "ListDispatch": (ListAgentDispatchRequest, self._list_dispatch),
            "CreateSIPParticipant": (CreateSIPParticipantRequest, self._create_sip_participant),
            "TransferSIPParticipant": (TransferSIPParticipantRequest, self._transfer),
            "RemoveParticipant": (RoomParticipantIdentity, self._remove_participant),
            "ListSIPInboundTrunk": (ListSIPInboundTrunkRequest, self._list_inbound_trunks),
            "ListSIPOutboundTrunk": (ListSIPOutboundTrunkRequest, self._list_outbound_trunks),
            "ListSIPDispatchRule": (ListSIPDispatchRuleRequest, self._list_dispatch_rules),
        }

    async def _fail(self, request: web.Request, failure: Failure) -> web.Response:
        if isinstance(failure, TwirpError):
            return _error_response(failure)
        if isinstance(failure, Raw):
            content_type = {"Content-Type": failure.content_type}
            return web.Response(status=failure.status, body=failure.body, headers=content_type)
        if isinstance(failure, Hang):
            await asyncio.sleep(30)
        if request.transport:
            request.transport.close()
        return web.Response()

    def _create_room(self, request: CreateRoomRequest) -> Room:
        if request.name not in self.rooms:
            room = Room(sid=f"RM_{request.name}", name=request.name, metadata=request.metadata)
            self.rooms[request.name] = room
            for agent in request.agents:
                self._dispatch(request.name, agent.agent_name, agent.metadata)
        return self.rooms[request.name]

    def _delete_room(self, request: DeleteRoomRequest) -> DeleteRoomResponse | TwirpError:
        if self.rooms.pop(request.room, None) is None:
            return TwirpError(404, "not_found", "requested room does not exist")
        self.participants.pop(request.room, None)
        return DeleteRoomResponse()

    def _list_rooms(self, request: ListRoomsRequest) -> ListRoomsResponse:
        names = set(request.names)
        rooms = [room for room in self.rooms.values() if not names or room.name in names]
        for room in rooms:
            # livekit-server does not count agents.
            room.num_participants = sum(
                participant.kind != ParticipantInfo.Kind.AGENT
                for participant in self.participants.get(room.name, [])
            )
        return ListRoomsResponse(rooms=rooms)

    async def _dial(self, request: CreateSIPParticipantRequest) -> Failure | None:
        """What dialing the callee fails with, or None; meanwhile its leg is in the room."""
        callee = self.callees.get(request.sip_call_to, Callee())
        leg = ParticipantInfo(
            identity=request.participant_identity,
            kind=ParticipantInfo.Kind.SIP,
            attributes={"sip.callStatus": "ringing" if callee.rings else "dialing"},
        )
        self.participants.setdefault(request.room_name, []).append(leg)
        if callee.rings:
            await asyncio.wait({asyncio.create_task(callee.rings.wait())}, timeout=30)
        if request.room_name not in self.rooms:
            return TwirpError(404, "not_found", "requested room does not exist")
        if callee.sip or (callee.failure and not callee.is_connected):
            self._remove(request.room_name, leg.identity)
        else:
            leg.attributes["sip.callStatus"] = "active"
        if callee.sip:
            status, reason = callee.sip
            meta = {"sip_status_code": str(status), "sip_status": reason}
            return TwirpError(403, "permission_denied", f"{status} {reason}", meta)
        return callee.failure

    def _create_sip_participant(self, request: CreateSIPParticipantRequest) -> SIPParticipantInfo:
        return SIPParticipantInfo(
            participant_identity=request.participant_identity, room_name=request.room_name
        )

    def _transfer(self, request: TransferSIPParticipantRequest) -> Message | TwirpError:
        return self.transfer_error or TransferSIPParticipantResponse()

    def _remove_participant(self, request: RoomParticipantIdentity) -> RemoveParticipantResponse:
        self._remove(request.room, request.identity)
        return RemoveParticipantResponse()

    def _remove(self, room: str, identity: str) -> None:
        self.participants[room] = [
            participant
            for participant in self.participants.get(room, [])
            if participant.identity != identity
        ]

    def _list_inbound_trunks(
        self, request: ListSIPInboundTrunkRequest
    ) -> ListSIPInboundTrunkResponse:
        return ListSIPInboundTrunkResponse(items=self.inbound_trunks)

    def _list_outbound_trunks(
        self, request: ListSIPOutboundTrunkRequest
    ) -> ListSIPOutboundTrunkResponse:
        return ListSIPOutboundTrunkResponse(items=self.outbound_trunks)

    def _list_dispatch_rules(
        self, request: ListSIPDispatchRuleRequest
    ) -> ListSIPDispatchRuleResponse:
        return ListSIPDispatchRuleResponse(items=self.dispatch_rules)

    def _dispatch(self, room: str, agent_name: str, metadata: str) -> None:
        number = len(self.dispatches) + 1
        dispatch = AgentDispatch(
            id=f"AD_{number}", room=room, agent_name=agent_name, metadata=metadata
        )
        self.dispatches.append(dispatch)
        if agent_name in self.workers and '"direction":"outbound"' in metadata:
            dispatch.state.jobs.append(Job(id=f"AJ_{number}"))
            tracks = () if self.agents_are_silent else (AGENT_AUDIO,)
            self.add_participant(
                room, ParticipantInfo.Kind.AGENT, f"agent-AJ_{number}", tracks=tracks
            )

    def _list_dispatch(self, request: ListAgentDispatchRequest) -> ListAgentDispatchResponse:
        dispatches = [dispatch for dispatch in self.dispatches if dispatch.room == request.room]
        return ListAgentDispatchResponse(agent_dispatches=dispatches)

    def _list_participants(self, request: ListParticipantsRequest) -> ListParticipantsResponse:
        return ListParticipantsResponse(participants=self.participants.get(request.room, []))


@functools.lru_cache(maxsize=1000)
def _verify(token: str) -> None:
    """Raises InvalidTokenError. Gateways use a token many times, and verifying one is slow."""
    api.TokenVerifier(KEY, SECRET).verify(token)


def _error_response(error: TwirpError) -> web.Response:
    body = {"code": error.code, "msg": error.msg, "meta": dict(error.meta)}
    return web.json_response(body, status=error.status)
