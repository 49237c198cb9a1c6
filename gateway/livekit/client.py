"""The client of LiveKit's server API. Each request has a timeout, a safe one is repeated."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Self, TypeVar

import aiohttp
from livekit import api
from livekit.protocol.agent_dispatch import AgentDispatch, RoomAgentDispatch
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
    ListRoomsResponse,
    RoomParticipantIdentity,
)

from common.resolver import Resolver
from gateway.errors import LiveKitRefused
from gateway.livekit.connections import ServerApi, fresh_session, pooled_session
from gateway.livekit.rooms import RoomParticipants, RoomRequest, RoomState
from gateway.livekit.timeouts import once, retried
from gateway.telemetry.metrics import Observe, unobserved

T = TypeVar("T")

#: Connections at a time, for requests that LiveKit answers at once and for slow ones.
CONNECTIONS = 100
#: Rooms per ListRooms request: a LiveKit without Redis searches all its rooms for each name, and
#: creates no room meanwhile.
ROOMS_PER_REQUEST = 100
#: How long LiveKit may take to list all rooms, in s: 0.7 for 13,000 (livekit-server 1.13.5).
LIST_TIMEOUT = 10.0


class LiveKit:
    """Requests to LiveKit. They raise LiveKitRefused or LiveKitUnreachable, nothing else.

    A request that is not safe to repeat, and a repetition, has a connection of its own.
    """

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        *,
        session: aiohttp.ClientSession,
        fresh: aiohttp.ClientSession,
        slow: aiohttp.ClientSession,
        timeout: float,
    ) -> None:
        """See `connected()`; the caller closes the sessions."""
        self._pooled, self._fresh, self._slow = (
            ServerApi(url, key, secret, each) for each in (session, fresh, slow)
        )
        self._timeout = timeout

    @classmethod
    @asynccontextmanager
    async def connected(
        cls,
        url: str,
        key: str,
        secret: str,
        *,
        timeout: float,  # noqa: ASYNC109 - the client applies it to each request
        connections: int = CONNECTIONS,
        slow_connections: int = CONNECTIONS,
        observe: Observe = unobserved,
    ) -> AsyncIterator[Self]:
        """A client while in the context; `timeout` (s) bounds a request with its repetitions.

        The time that a request waits for a free connection counts, too. Requests with a timeout of
        their own, such as dials, use `slow_connections`: while telephones ring, rooms can be made.
        `observe` is called with each attempt.
        """
        async with (
            Resolver() as resolver,
            pooled_session(connections, resolver, observe) as session,
            fresh_session(connections, resolver, observe) as fresh,
            fresh_session(slow_connections, resolver, observe) as slow,
        ):
            yield cls(url, key, secret, session=session, fresh=fresh, slow=slow, timeout=timeout)

    async def create_room(self, room: RoomRequest) -> str:
        """Create the room and dispatch its agent; returns the room's sid.

        Safe to repeat: for a room that exists livekit-server changes nothing, and dispatches no
        second agent (`RoomManager.getOrCreateRoom`, 1.13.5).
        """
        agent = RoomAgentDispatch(agent_name=room.agent_name, metadata=room.job_metadata)
        request = CreateRoomRequest(
            name=room.name,
            metadata=room.metadata,
            agents=[agent] if room.agent_name else [],
            empty_timeout=room.empty_timeout,
            departure_timeout=room.departure_timeout,
        )
        created = await self._retry(lambda server: server.rooms.create_room(request))
        return created.sid

    async def delete_room(self, name: str) -> None:
        """Delete the room and disconnect its participants; no error if there is no such room."""
        try:
            await self._retry(lambda server: server.rooms.delete_room(DeleteRoomRequest(room=name)))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise

    async def find_dispatch(self, room: str, agent_name: str) -> AgentDispatch | None:
        """The dispatch with which the room was created; its `state.jobs` may be seconds late."""
        dispatches = await self._retry(
            lambda server: server.client.agent_dispatch.list_dispatch(room)
        )
        return next((each for each in dispatches if each.agent_name == agent_name), None)

    async def rooms(self, *names: str) -> Sequence[RoomState]:
        """The rooms of these names that exist; without names all rooms, requested only once."""
        if not names:
            response = await self.call_once(
                lambda client: client.room.list_rooms(ListRoomsRequest()), timeout=LIST_TIMEOUT
            )
            return [RoomState.of(room) for room in response.rooms]
        rooms: list[RoomState] = []
        for start in range(0, len(names), ROOMS_PER_REQUEST):
            request = ListRoomsRequest(names=names[start : start + ROOMS_PER_REQUEST])
            response = await self._retry(partial(_list_rooms, request))
            rooms += map(RoomState.of, response.rooms)
        return rooms

    async def participants(self, room: str) -> Sequence[ParticipantInfo]:
        """The room's participants; none if there is no such room."""
        request = ListParticipantsRequest(room=room)
        try:
            response = await self._retry(
                lambda server: server.client.room.list_participants(request)
            )
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise
            return []
        return response.participants

    async def room_participants(self, room: str) -> RoomParticipants:
        """The room's participants as plain values; none if there is no such room."""
        return RoomParticipants.of(await self.participants(room))

    async def remove_participant(self, room: str, identity: str) -> None:
        """Disconnect a participant, which hangs up a SIP call; no error if it has left already."""
        request = RoomParticipantIdentity(room=room, identity=identity)
        try:
            await self._retry(lambda server: server.client.room.remove_participant(request))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise

    async def has_agent(self, room: str, *, besides_job: str = "") -> bool:
        """See `RoomParticipants.has_agent()`."""
        return (await self.room_participants(room)).has_agent(besides_job=besides_job)

    async def ping(self) -> None:
        """A cheap authenticated request: it succeeds if URL, key and secret are right."""
        request = ListRoomsRequest(names=["-"])
        await self._retry(partial(_list_rooms, request))

    async def call(self, request: Callable[[api.LiveKitAPI], Awaitable[T]]) -> T:
        """Make any other request that is safe to repeat; it is repeated within the timeout."""
        return await self._retry(lambda server: request(server.client))

    async def call_once(
        self,
        request: Callable[[api.LiveKitAPI], Awaitable[T]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - it selects the connections, too
    ) -> T:
        """Make a request that is not safe to repeat. `timeout` in s, if not the client's.

        After LiveKitUnreachable, LiveKit may have done what was requested, or not.
        """
        server = self._slow if timeout else self._fresh
        return await once(lambda: request(server.client), timeout=timeout or self._timeout)

    async def _retry(self, attempt: Callable[[ServerApi], Awaitable[T]]) -> T:
        return await retried(
            lambda is_repetition: attempt(self._fresh if is_repetition else self._pooled),
            timeout=self._timeout,
        )


def _list_rooms(request: ListRoomsRequest, server: ServerApi) -> Awaitable[ListRoomsResponse]:
    return server.rooms.list_rooms(request)
