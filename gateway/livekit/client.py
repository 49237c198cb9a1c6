"""Requests to LiveKit's server API, each within a deadline, repeated where that helps."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self, TypeVar

import aiohttp
import stamina
from livekit import api
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
)

from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable

T = TypeVar("T")

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

    def __init__(self, client: api.LiveKitAPI, *, deadline: float) -> None:
        self._client = client
        self._deadline = deadline

    @classmethod
    def connect(
        cls, url: str, key: str, secret: str, *, session: aiohttp.ClientSession, deadline: float
    ) -> Self:
        """`deadline` (s) bounds a whole request, repetitions included. `session` stays yours."""
        return cls(api.LiveKitAPI(url, key, secret, session=session), deadline=deadline)

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
        room = await self._insist(lambda: self._client.room.create_room(request))
        return room.sid

    async def delete_room(self, name: str) -> None:
        """End the room and whatever is in it; one that is gone already is fine."""
        try:
            await self._insist(lambda: self._client.room.delete_room(DeleteRoomRequest(room=name)))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise

    async def room_names(self) -> frozenset[str]:
        """The names of all rooms there are."""
        rooms = await self._insist(lambda: self._client.room.list_rooms(ListRoomsRequest()))
        return frozenset(room.name for room in rooms.rooms)

    async def has_agent(self, room: str) -> bool:
        """Whether any agent is in `room`; a room that is gone has none."""
        request = ListParticipantsRequest(room=room)
        try:
            present = await self._insist(lambda: self._client.room.list_participants(request))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise
            return False
        return any(who.kind == ParticipantInfo.Kind.AGENT for who in present.participants)

    async def ping(self) -> None:
        """One cheap authenticated request: proves address, key and secret at once."""
        nothing = ListRoomsRequest(names=["-"])
        await self._insist(lambda: self._client.room.list_rooms(nothing))

    async def _insist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        last: Exception | None = None
        try:
            async with asyncio.timeout(self._deadline):
                async for try_again in stamina.retry_context(
                    on=_is_worth_repeating,
                    attempts=None,
                    timeout=self._deadline,
                    wait_initial=0.05,
                    wait_max=0.5,
                    wait_jitter=0.05,
                ):
                    with try_again:
                        try:
                            return await attempt()
                        except Exception as error:
                            last = error
                            raise
        except (api.ServerError, aiohttp.ClientError, TimeoutError) as error:
            # Time ran out while waiting to try again: what LiveKit said before tells more.
            raise self._translated(last or error) from error
        raise AssertionError("stamina ends only by returning or raising")

    def _translated(self, error: Exception) -> LiveKitError:
        if isinstance(error, api.ServerError):
            return LiveKitRefused(
                error.code, error.message, status=error.status, meta=error.metadata
            )
        if isinstance(error, TimeoutError):
            return LiveKitUnreachable(f"LiveKit did not answer within {self._deadline:g} s")
        return LiveKitUnreachable(f"LiveKit cannot be reached: {error}")


def _is_worth_repeating(error: Exception) -> bool:
    if isinstance(error, api.ServerError):
        return error.status >= 500
    return isinstance(error, aiohttp.ClientError | TimeoutError)
