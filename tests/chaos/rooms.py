"""A LiveKit room: who is in it, what they do when others come and go, the webhooks about it."""

import asyncio

from livekit.protocol.models import DisconnectReason, ParticipantInfo
from livekit.protocol.room import CreateRoomRequest

from tests.chaos.legs import Leg, State
from tests.chaos.mail import Letter
from tests.chaos.scene import Scene
from tests.fakes.webhooks import authorization, webhook

#: How long after its end LiveKit says that a room is over, in s.
FINISHED_AFTER = (0.1, 2.0)


class LiveRoom:
    def __init__(self, request: CreateRoomRequest, scene: Scene) -> None:
        self.name = request.name
        self.scene = scene
        self.people: dict[str, ParticipantInfo] = {}
        self.legs: dict[str, RoomLeg] = {}
        self.is_closed = False
        self.had_caller = False
        self._empty_timeout = request.empty_timeout
        self._departure_timeout = request.departure_timeout
        self._empty_since = asyncio.get_running_loop().time()
        self._events = 0
        self.tell("room_started")

    @property
    def has_agent(self) -> bool:
        return any(who.kind == ParticipantInfo.Kind.AGENT for who in self.people.values())

    @property
    def is_talking(self) -> bool:
        """Whether a telephone is connected."""
        return any(leg.state is State.ACTIVE for leg in self.legs.values())

    @property
    def is_deserted(self) -> bool:
        """Whether the caller came and went, or the room is gone: an agent leaves then."""
        return self.is_closed or (self.had_caller and not self.legs)

    @property
    def has_outlived(self) -> bool:
        """Whether LiveKit closes it by itself: for agents alone it keeps none."""
        limit = self._departure_timeout if self.had_caller else self._empty_timeout
        empty_for = asyncio.get_running_loop().time() - self._empty_since
        return not self.legs and empty_for > limit

    def join(self, who: ParticipantInfo) -> None:
        self.people[who.identity] = who
        self.tell("participant_joined", who)
        if who.kind == ParticipantInfo.Kind.AGENT:
            for leg in self.legs.values():
                leg.meet_agent()
        self.scene.changed()

    def join_leg(self, leg: "RoomLeg") -> None:
        self.had_caller = True
        self.legs[leg.identity] = leg
        self.join(leg.info)

    def leave(self, identity: str, why: DisconnectReason) -> None:
        who = self.people.pop(identity, None)
        if who is None:
            return
        leg = self.legs.pop(identity, None)
        if leg:
            leg.left(486 if leg.state is State.RINGING else 200)
            self._empty_since = asyncio.get_running_loop().time()
        gone = ParticipantInfo()
        gone.CopyFrom(who)
        gone.disconnect_reason = why
        self.tell("participant_left", gone)
        self.scene.changed()

    def close(self, why: DisconnectReason) -> None:
        self.is_closed = True
        for identity in list(self.people):
            self.leave(identity, why)
        self.scene.changed()
        self.scene.crew.start(self._finish(), f"end of {self.name}")

    def tell(self, event: str, who: ParticipantInfo | None = None) -> None:
        """Send a webhook."""
        self._events += 1
        kind = ParticipantInfo.Kind.Name(who.kind) if who else ""
        body = webhook(f"EV_{self.name}_{self._events}", event, self.name, who)
        letter = Letter(f"{event} {kind}", "/livekit/webhook", body, _headers)
        self.scene.crew.start(self.scene.mail.notify(letter), f"{event} {self.name}")

    async def _finish(self) -> None:
        await asyncio.sleep(self.scene.dice.of("finished", self.name[:4]).uniform(*FINISHED_AFTER))
        self.tell("room_finished")


class RoomLeg(Leg):
    """A SIP participant. An inbound one is answered as soon as an agent is there to talk to."""

    def __init__(self, room: LiveRoom, identity: str, *, waits_for_agent: bool) -> None:
        super().__init__(room.scene)
        self.room = room
        self.identity = identity
        self._waits_for_agent = waits_for_agent
        self.info = ParticipantInfo(
            identity=identity,
            kind=ParticipantInfo.Kind.SIP,
            attributes={"sip.callStatus": "ringing", "sip.callID": f"SCL_{room.name}"},
        )
        room.join_leg(self)
        self.meet_agent()

    @property
    def is_silent(self) -> bool:
        return not self.room.has_agent

    def meet_agent(self) -> None:
        if self._waits_for_agent and self.state is State.RINGING and self.room.has_agent:
            self.answer()

    def answer(self) -> None:
        self.info.attributes["sip.callStatus"] = "active"
        self.scene.answered.add(self.room.name)
        super().answer()

    def hang_up(self) -> None:
        self.room.leave(self.identity, DisconnectReason.CLIENT_INITIATED)

    def left(self, sip: int) -> None:
        self.info.attributes["sip.callStatus"] = "hangup"
        self.end(sip)


def _headers(body: bytes) -> dict[str, str]:
    return {"Authorization": authorization(body), "Content-Type": "application/webhook+json"}
