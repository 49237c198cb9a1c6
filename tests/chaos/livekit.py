"""LiveKit as a world: rooms that agents and telephones come to, webhooks, requests that fail."""

import asyncio
import json
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message
from livekit.protocol.agent_dispatch import (
    AgentDispatch,
    CreateAgentDispatchRequest,
    ListAgentDispatchRequest,
    ListAgentDispatchResponse,
)
from livekit.protocol.models import DisconnectReason, Room
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    DeleteRoomResponse,
    ListParticipantsRequest,
    ListParticipantsResponse,
    RemoveParticipantResponse,
    RoomParticipantIdentity,
)
from livekit.protocol.sip import CreateSIPParticipantRequest, TransferSIPParticipantRequest

from tests.chaos.agents import Agent
from tests.chaos.callees import ring
from tests.chaos.dice import Dice
from tests.chaos.legs import State
from tests.chaos.rooms import LiveRoom, RoomLeg
from tests.chaos.scene import Scene
from tests.chaos.script import number_of
from tests.fakes.livekit import Drop, Failure, FakeLiveKit, TwirpError

#: The share of requests that something failure_of, and how slow a slow one is, in s.
TROUBLE = 0.1
SLOW = (0.2, 0.8)
#: Between two looks for rooms that LiveKit closes by itself, in s.
LOOK_EVERY = 0.5
#: Whom agents hand calls on to.
TARGET = "tel:+61491570156"

_GONE = TwirpError(404, "not_found", "requested room does not exist")


class BusyLiveKit(FakeLiveKit):
    """`scene_of` finds a call by its number. `tally` counts what befell requests."""

    def __init__(self, seed: str, scene_of: Callable[[int], Scene]) -> None:
        super().__init__(requests=deque(maxlen=100))
        self._dice = Dice(seed, "livekit")
        self._scene_of = scene_of
        self._asked: Counter[str] = Counter()
        self._jobs: dict[str, list[AgentDispatch]] = defaultdict(list)
        self.live: dict[str, LiveRoom] = {}
        self.tally: Counter[str] = Counter()

    # What others in the world ask for.

    def invite(self, name: str, identity: str) -> RoomLeg | None:
        """An INVITE to a room; None is its 486: with `room.auto_create: false` none is made."""
        room = self.live.get(name)
        return RoomLeg(room, identity, waits_for_agent=True) if room else None

    async def refer(self, room: LiveRoom, target: str) -> int:
        """REFER the telephone in the room; how it answers."""
        leg = next((leg for leg in room.legs.values() if leg.state is State.ACTIVE), None)
        return await leg.refer(target) if leg and leg.refer else 404

    def close(self, room: LiveRoom, why: DisconnectReason) -> None:
        if self.live.pop(room.name, None):
            self.rooms.pop(room.name)
            self._jobs.pop(room.name, None)
            room.close(why)

    async def close_deserted(self) -> None:
        """For ever, close rooms that nobody but agents has been in for too long."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for room in [room for room in self.live.values() if room.has_outlived]:
                self.tally["closed by itself"] += 1
                self.close(room, DisconnectReason.ROOM_CLOSED)

    # What the gateways ask for.

    async def failure_of(self, method: str, message: Message) -> Failure | None:
        roll = self._roll(method, message)
        roll = self._roll(method, message)
        self.tally["requests"] += 1
        if roll.random() >= TROUBLE:
            return await self._done(message)
        self.tally["troubled"] += 1
        match roll.choice(["refused", "dropped", "unheard", "slow"]):
            case "refused":
                return TwirpError(
                    roll.choice([500, 503]), "unavailable", "no response from servers"
                )
            case "dropped":
                return Drop()
            case "unheard":
                if await self._done(message) is None:
                    self.perform(method, message)
                return Drop()
        await asyncio.sleep(roll.uniform(*SLOW))
        return await self._done(message)

    def _roll(self, method: str, message: Message) -> Any:
        """The dice for this request, the how-manieth about its call it is."""
        name = getattr(message, "room_name", "") or getattr(message, "room", "")
        room = self.live.get(name)
        number: object = room.scene.script.number if room else ""
        if isinstance(message, CreateRoomRequest):
            number = number_of(_public_fields(message.metadata)["account_code"])
        self._asked[f"{method} {number}"] += 1
        return self._dice.of(method, number, self._asked[f"{method} {number}"])

    async def _done(self, message: Message) -> Failure | None:
        """What takes its time, and may fail in the telephone network."""
        if isinstance(message, CreateSIPParticipantRequest):
            room = self.live.get(message.room_name)
            return await ring(room, message) if room else _GONE
        if isinstance(message, TransferSIPParticipantRequest):
            return await self._hand_on(message)
        return None

    async def _hand_on(self, message: TransferSIPParticipantRequest) -> Failure | None:
        room = self.live.get(message.room_name)
        if room is None:
            return _GONE
        status = await self.refer(room, message.transfer_to)
        if status < 300:
            return None
        meta = {"sip_status_code": str(status), "sip_status": "Refused"}
        return TwirpError(403, "permission_denied", f"{status} Refused", meta)

    def _create_room(self, request: CreateRoomRequest) -> Room:
        if request.name in self.rooms:
            return self.rooms[request.name]
        scene = self._scene_of(number_of(_public_fields(request.metadata)["account_code"]))
        scene.rooms.add(request.name)
        room = self.live[request.name] = LiveRoom(request, scene)
        for agent in request.agents:
            self._dispatch(room, agent.agent_name, agent.metadata)
        return super()._create_room(request)

    def _delete_room(self, request: DeleteRoomRequest) -> DeleteRoomResponse | TwirpError:
        room = self.live.get(request.room)
        if room is None:
            return _GONE
        self.close(room, DisconnectReason.ROOM_DELETED)
        return DeleteRoomResponse()

    def _create_dispatch(self, request: CreateAgentDispatchRequest) -> AgentDispatch | TwirpError:
        room = self.live.get(request.room)
        if room is None:
            return TwirpError(503, "unavailable", "twirp error unknown: no response from servers")
        return self._dispatch(room, request.agent_name, request.metadata)

    def _list_dispatch(self, request: ListAgentDispatchRequest) -> ListAgentDispatchResponse:
        return ListAgentDispatchResponse(agent_dispatches=self._jobs.get(request.room, []))

    def _list_participants(self, request: ListParticipantsRequest) -> ListParticipantsResponse:
        room = self.live.get(request.room)
        return ListParticipantsResponse(participants=room.people.values() if room else [])

    def _remove_participant(self, request: RoomParticipantIdentity) -> RemoveParticipantResponse:
        if room := self.live.get(request.room):
            room.leave(request.identity, DisconnectReason.PARTICIPANT_REMOVED)
        return RemoveParticipantResponse()

    def _dispatch(self, room: LiveRoom, agent_name: str, metadata: str) -> AgentDispatch:
        self._asked["dispatches"] += 1
        dispatch = AgentDispatch(
            id=f"AD_{self._asked['dispatches']}",
            room=room.name,
            agent_name=agent_name,
            metadata=metadata,
        )
        self._jobs[room.name].append(dispatch)
        work = Agent(self, room, dispatch, TARGET).run()
        room.scene.crew.start(work, f"agent of {room.name}")
        return dispatch


def _public_fields(metadata: str) -> Mapping[str, str]:
    told: Mapping[str, str] = json.loads(metadata)
    return told
