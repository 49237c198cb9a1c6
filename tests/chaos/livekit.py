"""The simulated LiveKit: rooms with agents and telephones, webhooks, and requests that fail."""

import asyncio
import json
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable

from google.protobuf.message import Message
from livekit.protocol.agent_dispatch import (
    AgentDispatch,
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
    ListRoomsRequest,
    ListRoomsResponse,
    RemoveParticipantResponse,
    RoomParticipantIdentity,
)
from livekit.protocol.sip import CreateSIPParticipantRequest, TransferSIPParticipantRequest

from tests.chaos.agents import SimulatedAgent
from tests.chaos.callees import dial
from tests.chaos.legs import State
from tests.chaos.rooms import SimulatedRoom, SipLeg
from tests.chaos.scenario import number_of
from tests.chaos.seeded_random import SeededRandom
from tests.chaos.simulated_call import SimulatedCall
from tests.fakes.livekit import GARBAGE, Drop, Failure, FakeLiveKit, TwirpError

#: The share of requests that fail or are slow, and how long a slow one takes, in s.
FAULT_SHARE = 0.1
SLOW = (0.2, 0.8)
#: How often it looks for expired rooms, in s.
EXPIRY_INTERVAL = 0.5
#: Where agents transfer calls.
TARGET = "tel:+61491570156"

_NO_ROOM = TwirpError(404, "not_found", "requested room does not exist")


class SimulatedLiveKit(FakeLiveKit):
    """`call_of` finds a call by its number. `counts` has how many requests had a fault."""

    def __init__(self, seed: str, call_of: Callable[[int], SimulatedCall]) -> None:
        super().__init__(requests=deque(maxlen=100))
        self._random = SeededRandom(seed, "livekit")
        self._call_of = call_of
        self._requests: Counter[str] = Counter()
        self._jobs: dict[str, list[AgentDispatch]] = defaultdict(list)
        self.live: dict[str, SimulatedRoom] = {}
        self._is_down = False
        self._forgotten: frozenset[str] = frozenset()
        self.counts: Counter[str] = Counter()

    # What the other simulated parties use.

    def invite(self, name: str, identity: str) -> SipLeg | None:
        """An INVITE for a room; None if there is none: with `room.auto_create: false` a 486."""
        room = None if self._is_down else self._find(name)
        return SipLeg(room, identity, waits_for_agent=True) if room else None

    async def refer(self, room: SimulatedRoom, target: str) -> int:
        """Send a REFER to the telephone in the room; the SIP status of its response."""
        leg = next((leg for leg in room.legs.values() if leg.state is State.ACTIVE), None)
        return await leg.refer(target) if leg and leg.refer else 404

    def close(self, room: SimulatedRoom, reason: DisconnectReason) -> None:
        if self.live.pop(room.name, None):
            self.rooms.pop(room.name)
            self._jobs.pop(room.name, None)
            room.close(reason)

    async def restart(self, downtime: float, until_return: float) -> None:
        """Be down, then without rooms for as long as their participants need to come back (s)."""
        self._is_down = True
        await asyncio.sleep(downtime)
        self._is_down = False
        await self.forget_rooms(until_return)

    async def forget_rooms(self, seconds: float) -> None:
        """Do not know the rooms of now for a while; who is in them talks on."""
        self._forgotten = frozenset(self.live)
        await asyncio.sleep(seconds)
        self._forgotten = frozenset()

    async def close_expired_rooms(self) -> None:
        """For as long as the simulation runs."""
        while True:
            await asyncio.sleep(EXPIRY_INTERVAL)
            for room in [room for room in self.live.values() if room.is_expired]:
                self.counts["expired rooms"] += 1
                self.close(room, DisconnectReason.ROOM_CLOSED)

    # What the gateways request.

    async def failure_of(self, method: str, message: Message) -> Failure | None:
        if self._is_down:
            return Drop()
        rng = self._generator(method, message)
        self.counts["requests"] += 1
        if rng.random() >= FAULT_SHARE:
            return await self._carry_out(message)
        self.counts["requests with a fault"] += 1
        return await self._fault(rng, method, message)

    async def _fault(self, rng: random.Random, method: str, message: Message) -> Failure | None:
        match rng.choice(["error", "lost", "response lost", "slow", "garbage", "response garbled"]):
            case "error":
                status = rng.choice([500, 503])
                return TwirpError(status, "unavailable", "no response from servers")
            case "lost":
                return Drop()
            case "garbage":
                return rng.choice(GARBAGE)
            case ("response lost" | "response garbled") as fault:
                if await self._carry_out(message) is None:
                    self.perform(method, message)
                return Drop() if fault == "response lost" else rng.choice(GARBAGE)
        await asyncio.sleep(rng.uniform(*SLOW))
        return await self._carry_out(message)

    def _generator(self, method: str, message: Message) -> random.Random:
        """The random numbers of the n-th request of this kind about a call."""
        name = getattr(message, "room_name", "") or getattr(message, "room", "")
        room = self.live.get(name)
        number: object = room.call.scenario.number if room else ""
        if isinstance(message, CreateRoomRequest):
            number = _number_in(message.metadata)
        self._requests[f"{method} {number}"] += 1
        return self._random.generator(method, number, self._requests[f"{method} {number}"])

    async def _carry_out(self, message: Message) -> Failure | None:
        """What takes time, and may fail in the telephone network."""
        if isinstance(message, CreateSIPParticipantRequest):
            room = self._find(message.room_name)
            return await dial(room, message) if room else _NO_ROOM
        if isinstance(message, TransferSIPParticipantRequest):
            return await self._transfer_leg(message)
        return None

    async def _transfer_leg(self, message: TransferSIPParticipantRequest) -> Failure | None:
        room = self._find(message.room_name)
        if room is None:
            return _NO_ROOM
        status = await self.refer(room, message.transfer_to)
        if status < 300:
            return None
        meta = {"sip_status_code": str(status), "sip_status": "Refused"}
        return TwirpError(403, "permission_denied", f"{status} Refused", meta)

    def _create_room(self, request: CreateRoomRequest) -> Room:
        if request.name in self.rooms:
            return self.rooms[request.name]
        call = self._call_of(_number_in(request.metadata))
        call.rooms.add(request.name)
        room = self.live[request.name] = SimulatedRoom(request, call)
        for agent in request.agents:
            self._start_agent(room, agent.agent_name, agent.metadata)
        self.rooms[request.name] = Room(
            sid=f"RM_{request.name}", name=request.name, metadata=request.metadata
        )
        return self.rooms[request.name]

    def _delete_room(self, request: DeleteRoomRequest) -> DeleteRoomResponse | TwirpError:
        room = self._find(request.room)
        if room is None:
            return _NO_ROOM
        self.close(room, DisconnectReason.ROOM_DELETED)
        return DeleteRoomResponse()

    def _list_dispatch(self, request: ListAgentDispatchRequest) -> ListAgentDispatchResponse:
        dispatches = self._jobs[request.room] if self._find(request.room) else []
        return ListAgentDispatchResponse(agent_dispatches=dispatches)

    def _list_participants(self, request: ListParticipantsRequest) -> ListParticipantsResponse:
        room = self._find(request.room)
        return ListParticipantsResponse(participants=room.participants.values() if room else [])

    def _remove_participant(self, request: RoomParticipantIdentity) -> RemoveParticipantResponse:
        if room := self._find(request.room):
            room.leave(request.identity, DisconnectReason.PARTICIPANT_REMOVED)
        return RemoveParticipantResponse()

    def _list_rooms(self, request: ListRoomsRequest) -> ListRoomsResponse:
        listed = super()._list_rooms(request)
        known = [room for room in listed.rooms if room.name not in self._forgotten]
        return ListRoomsResponse(rooms=known)

    def _find(self, name: str) -> SimulatedRoom | None:
        """The room as requests find it."""
        return None if name in self._forgotten else self.live.get(name)

    def _start_agent(self, room: SimulatedRoom, agent_name: str, metadata: str) -> None:
        self._requests["dispatches"] += 1
        dispatch = AgentDispatch(
            id=f"AD_{self._requests['dispatches']}",
            room=room.name,
            agent_name=agent_name,
            metadata=metadata,
        )
        self._jobs[room.name].append(dispatch)
        agent = SimulatedAgent(self, room, dispatch, TARGET)
        room.call.tasks.start(agent.run(), f"agent of {room.name}")


def _number_in(metadata: str) -> int:
    """The number of the call that a room's metadata belong to."""
    return number_of(json.loads(metadata)["account_code"])
