"""Requests to LiveKit's server API, each within a deadline, repeated where that helps."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Self, TypeVar

import aiohttp
from livekit import api
from livekit.api.room_service import RoomService
from livekit.protocol.agent_dispatch import (
    AgentDispatch,
    CreateAgentDispatchRequest,
    RoomAgentDispatch,
)
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
    RoomParticipantIdentity,
)

from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable
from gateway.livekit.rooms import RoomParticipants, RoomRequest, RoomState
from gateway.livekit.tokens import rooms_token

T = TypeVar("T")

#: Between two tries, in s: doubled each time up to the longest, give or take a half.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5
#: How long a shared token is used, in s; it is valid for longer, see tokens.py.
RENEW_AFTER = 600.0
#: Connections at a time, for requests that are answered at once and for those that wait.
CONNECTIONS = 100
#: Rooms asked for at a time: a LiveKit without Redis looks through all its rooms for each of them,
#: and makes no room meanwhile.
ROOMS_AT_ONCE = 100
#: How long LiveKit may take to list all rooms, in s: 0.7 for 13,000 (livekit-server 1.13.5).
LIST_DEADLINE = 10.0
#: What the agents framework puts before a job's id to name its participant.
AGENT_IDENTITY = "agent-"
#: How long LiveKit keeps a room after the last caller has left it, in s.
DEPARTURE_TIMEOUT = 10


class LiveKit:
    """LiveKit's server API. Raises LiveKitRefused or LiveKitUnreachable, nothing else."""

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        *,
        session: aiohttp.ClientSession,
        waiting: aiohttp.ClientSession,
        deadline: float,
    ) -> None:
        """See `connected()`; the sessions stay yours."""
        self._client = api.LiveKitAPI(url, key, secret, session=session)
        self._waiting = api.LiveKitAPI(url, key, secret, session=waiting)
        self._renew: Callable[[], api.LiveKitAPI] = lambda: api.LiveKitAPI.with_token(
            rooms_token(key, secret), url, session=session
        )
        self._renewed = -math.inf
        self._deadline = deadline

    @classmethod
    @asynccontextmanager
    async def connected(
        cls,
        url: str,
        key: str,
        secret: str,
        *,
        deadline: float,
        connections: int = CONNECTIONS,
        waiting: int = CONNECTIONS,
    ) -> AsyncIterator[Self]:
        """A client while in the context; `deadline` (s) bounds a request with its repetitions.

        Waiting for one of the `connections` counts. Requests with a deadline of their own, such as
        dials, have `waiting` other ones: while telephones ring, rooms can be made.
        """
        async with _session(connections) as session, _session(waiting) as patient:
            yield cls(url, key, secret, session=session, waiting=patient, deadline=deadline)

    @property
    def _rooms(self) -> RoomService:
        """For what needs no grant on one room: one token serves many requests.

        Minting one a request would cost more than the rest of the request does here.
        """
        now = time.monotonic()
        if now - self._renewed > RENEW_AFTER:
            self._shared, self._renewed = self._renew(), now
        return self._shared.room

    async def create_room(self, order: RoomRequest) -> str:
        """Make the room and send the agent there; returns the room's sid.

        Safe to repeat: for a room that exists LiveKit dispatches no second agent.
        """
        agent = RoomAgentDispatch(agent_name=order.agent_name, metadata=order.job_metadata)
        request = CreateRoomRequest(
            name=order.name,
            metadata=order.metadata,
            agents=[agent] if order.agent_name else [],
            empty_timeout=order.empty_timeout,
            departure_timeout=DEPARTURE_TIMEOUT,
        )
        room = await self._retry(lambda: self._rooms.create_room(request))
        return room.sid

    async def delete_room(self, name: str) -> None:
        """End the room and whatever is in it; one that is gone already is fine."""
        try:
            await self._retry(lambda: self._rooms.delete_room(DeleteRoomRequest(room=name)))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise

    async def dispatch_agent(self, room: str, agent_name: str, metadata: str) -> str:
        """Send the agent to a room that exists; returns the dispatch's id.

        A second dispatch would be a second agent: before a try is repeated, what came of the
        first is looked up.
        """
        service = self._client.agent_dispatch
        request = CreateAgentDispatchRequest(room=room, agent_name=agent_name, metadata=metadata)
        tried = False

        async def attempt() -> AgentDispatch:
            nonlocal tried
            if tried:
                for dispatch in await service.list_dispatch(room):
                    if dispatch.agent_name == agent_name:
                        return dispatch
            tried = True
            return await service.create_dispatch(request)

        return (await self._retry(attempt)).id

    async def find_job(self, room: str, dispatch_id: str) -> str | None:
        """The id of the job that a worker has taken for the dispatch, if one has.

        LiveKit lists the job only after 5 s where no agent was dispatched for a minute, though the
        agent is in the room long before (livekit-server 1.13.5); so both are looked at.
        """
        service = self._client.agent_dispatch
        dispatches = await self._retry(lambda: service.list_dispatch(room))
        for dispatch in dispatches:
            if dispatch.id == dispatch_id and dispatch.state.jobs:
                return dispatch.state.jobs[0].id
        present = await self.participants(room)
        agents = [who.identity for who in present if who.kind == ParticipantInfo.Kind.AGENT]
        return next((who.removeprefix(AGENT_IDENTITY) for who in agents), None)

    async def rooms(self, *names: str) -> Sequence[RoomState]:
        """Those of `names` that are there, or all rooms there are: then LiveKit is asked once."""
        if not names:
            everything = ListRoomsRequest()
            answer = await self.call_once(
                lambda client: client.room.list_rooms(everything), deadline=LIST_DEADLINE
            )
            return [RoomState.of(room) for room in answer.rooms]
        found: list[RoomState] = []
        for start in range(0, len(names), ROOMS_AT_ONCE):
            some = ListRoomsRequest(names=names[start : start + ROOMS_AT_ONCE])
            answer = await self._retry(partial(self._rooms.list_rooms, some))
            found += map(RoomState.of, answer.rooms)
        return found

    async def room_participants(self, room: str) -> RoomParticipants:
        """Who is in `room`; nobody if it is gone."""
        return RoomParticipants.of(await self.participants(room))

    async def remove_participant(self, room: str, identity: str) -> None:
        """Have `identity` leave `room`, which hangs up a telephone; one that is gone is fine."""
        request = RoomParticipantIdentity(room=room, identity=identity)
        try:
            await self._retry(lambda: self._client.room.remove_participant(request))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise

    async def has_agent(self, room: str, *, besides_job: str = "") -> bool:
        """Whether any agent but that of `besides_job` is in `room`.

        LiveKit still shows an agent for some 20 s after its process has died.
        """
        gone = f"{AGENT_IDENTITY}{besides_job}"
        return any(
            who.kind == ParticipantInfo.Kind.AGENT and who.identity != gone
            for who in await self.participants(room)
        )

    async def ping(self) -> None:
        """One cheap authenticated request: proves address, key and secret at once."""
        nothing = ListRoomsRequest(names=["-"])
        await self._retry(lambda: self._rooms.list_rooms(nothing))

    async def participants(self, room: str) -> Sequence[ParticipantInfo]:
        """Who is in `room`; nobody if it is gone."""
        request = ListParticipantsRequest(room=room)
        try:
            answer = await self._retry(lambda: self._client.room.list_participants(request))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise
            return []
        return answer.participants

    async def call(self, request: Callable[[api.LiveKitAPI], Awaitable[T]]) -> T:
        """Any other request, repeated within the deadline: it must be safe to repeat."""
        return await self._retry(lambda: request(self._client))

    async def call_once(
        self, request: Callable[[api.LiveKitAPI], Awaitable[T]], *, deadline: float | None = None
    ) -> T:
        """A request that is not safe to repeat; LiveKitUnreachable leaves open what came of it.

        `deadline` in s, if it is not the usual one.
        """
        client = self._waiting if deadline else self._client
        limit = deadline or self._deadline
        try:
            async with asyncio.timeout(limit):
                return await request(client)
        except (api.ServerError, aiohttp.ClientError, TimeoutError) as error:
            raise _translated(error, limit) from error

    async def _retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        last: Exception | None = None
        pause = FIRST_PAUSE
        try:
            # The only bound there is: livekit-api 1.2 switches its session's own time-outs off.
            async with asyncio.timeout(self._deadline):
                while True:
                    try:
                        return await attempt()
                    except (api.ServerError, aiohttp.ClientError, TimeoutError) as error:
                        last = error
                        if isinstance(error, api.ServerError) and error.status < 500:
                            break
                    await asyncio.sleep(random.uniform(0.5, 1.5) * pause)  # noqa: S311 - jitter
                    pause = min(2 * pause, LONGEST_PAUSE)
        except TimeoutError as error:
            # Time ran out while waiting to try again: what LiveKit said before tells more.
            last = last or error
        raise _translated(last, self._deadline) from last


def _session(connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=connections)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def _translated(error: Exception, deadline: float) -> LiveKitError:
    if isinstance(error, api.ServerError):
        return LiveKitRefused(error.code, error.message, status=error.status, meta=error.metadata)
    if isinstance(error, TimeoutError):
        return LiveKitUnreachable(f"LiveKit did not answer within {deadline:g} s")
    return LiveKitUnreachable(f"LiveKit cannot be reached: {error}")
