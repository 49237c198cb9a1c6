"""Requests to LiveKit's server API, each within a deadline, repeated where that helps."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

import aiohttp
from livekit import api
from livekit.api.room_service import RoomService
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
)

from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable
from gateway.livekit.tokens import rooms_token

T = TypeVar("T")

#: Between two tries, in s: doubled each time up to the longest, give or take a half.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5
#: How long a shared token is used, in s; it is valid for longer, see tokens.py.
RENEW_AFTER = 600.0
#: How long LiveKit keeps a room after the last caller has left it, in s.
DEPARTURE_TIMEOUT = 10


@dataclass(frozen=True, slots=True)
class RoomOrder:
    """A room to make, with the agent that is to be in it. `empty_timeout` in s."""

    name: str
    agent_name: str
    metadata: str
    empty_timeout: int


class LiveKit:
    """LiveKit's server API. Raises LiveKitRefused or LiveKitUnreachable, nothing else."""

    def __init__(
        self, url: str, key: str, secret: str, *, session: aiohttp.ClientSession, deadline: float
    ) -> None:
        """See `connected()`; `session` stays yours."""
        self._client = api.LiveKitAPI(url, key, secret, session=session)
        self._renew: Callable[[], api.LiveKitAPI] = lambda: api.LiveKitAPI.with_token(
            rooms_token(key, secret), url, session=session
        )
        self._renewed = -math.inf
        self._deadline = deadline

    @classmethod
    @asynccontextmanager
    async def connected(
        cls, url: str, key: str, secret: str, *, deadline: float
    ) -> AsyncIterator[Self]:
        """A client while in the context; `deadline` (s) bounds a request with its repetitions."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield cls(url, key, secret, session=session, deadline=deadline)

    @property
    def _rooms(self) -> RoomService:
        """For what needs no grant on one room: one token serves many requests.

        Minting one a request would cost more than the rest of the request does here.
        """
        now = time.monotonic()
        if now - self._renewed > RENEW_AFTER:
            self._shared, self._renewed = self._renew(), now
        return self._shared.room

    async def create_room(self, order: RoomOrder) -> str:
        """Make the room and send the agent there; returns the room's sid.

        Safe to repeat: for a room that exists LiveKit dispatches no second agent.
        """
        agent = RoomAgentDispatch(agent_name=order.agent_name, metadata=order.metadata)
        request = CreateRoomRequest(
            name=order.name,
            metadata=order.metadata,
            agents=[agent],
            empty_timeout=order.empty_timeout,
            departure_timeout=DEPARTURE_TIMEOUT,
        )
        room = await self._insist(lambda: self._rooms.create_room(request))
        return room.sid

    async def delete_room(self, name: str) -> None:
        """End the room and whatever is in it; one that is gone already is fine."""
        try:
            await self._insist(lambda: self._rooms.delete_room(DeleteRoomRequest(room=name)))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise

    async def room_names(self) -> frozenset[str]:
        """The names of all rooms there are."""
        rooms = await self._insist(lambda: self._rooms.list_rooms(ListRoomsRequest()))
        return frozenset(room.name for room in rooms.rooms)

    async def has_agent(self, room: str, *, besides_job: str = "") -> bool:
        """Whether any agent but that of `besides_job` is in `room`; a room that is gone has none.

        LiveKit still shows an agent for some 20 s after its process has died.
        """
        request = ListParticipantsRequest(room=room)
        try:
            present = await self._insist(lambda: self._client.room.list_participants(request))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise
            return False
        gone = f"agent-{besides_job}"  # the identity that the framework gives an agent
        return any(
            who.kind == ParticipantInfo.Kind.AGENT and who.identity != gone
            for who in present.participants
        )

    async def ping(self) -> None:
        """One cheap authenticated request: proves address, key and secret at once."""
        nothing = ListRoomsRequest(names=["-"])
        await self._insist(lambda: self._rooms.list_rooms(nothing))

    async def _insist(self, attempt: Callable[[], Awaitable[T]]) -> T:
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
        raise self._translated(last) from last

    def _translated(self, error: Exception) -> LiveKitError:
        if isinstance(error, api.ServerError):
            return LiveKitRefused(
                error.code, error.message, status=error.status, meta=error.metadata
            )
        if isinstance(error, TimeoutError):
            return LiveKitUnreachable(f"LiveKit did not answer within {self._deadline:g} s")
        return LiveKitUnreachable(f"LiveKit cannot be reached: {error}")
