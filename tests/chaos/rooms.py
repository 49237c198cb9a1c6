"""A simulated LiveKit room: its participants, what they do when others leave, its webhooks."""

import asyncio

from livekit.protocol.models import DisconnectReason, ParticipantInfo, TrackInfo
from livekit.protocol.room import CreateRoomRequest

from tests.chaos.legs import Leg, State
from tests.chaos.network import Request
from tests.chaos.simulated_call import SimulatedCall
from tests.fakes.livekit import AGENT_AUDIO
from tests.fakes.webhooks import authorization, webhook

#: How long after closing a room LiveKit sends `room_finished`, in s.
FINISHED_AFTER = (0.1, 2.0)


class SimulatedRoom:
    def __init__(self, request: CreateRoomRequest, call: SimulatedCall) -> None:
        self.name = request.name
        self.call = call
        self.participants: dict[str, ParticipantInfo] = {}
        self.legs: dict[str, SipLeg] = {}
        self.is_closed = False
        self.had_leg = False
        self._empty_timeout = request.empty_timeout
        self._departure_timeout = request.departure_timeout
        self._empty_since = asyncio.get_running_loop().time()
        self._webhooks = 0
        self.send_webhook("room_started")

    @property
    def has_agent(self) -> bool:
        kinds = (participant.kind for participant in self.participants.values())
        return ParticipantInfo.Kind.AGENT in kinds

    @property
    def has_active_leg(self) -> bool:
        return any(leg.state is State.ACTIVE for leg in self.legs.values())

    @property
    def is_deserted(self) -> bool:
        """Whether the agent has no reason to stay: the leg has left, or the room is closed."""
        return self.is_closed or (self.had_leg and not self.legs)

    @property
    def is_expired(self) -> bool:
        """Whether LiveKit closes it, since it has had no participants but agents for too long."""
        limit = self._departure_timeout if self.had_leg else self._empty_timeout
        empty_for = asyncio.get_running_loop().time() - self._empty_since
        return not self.legs and empty_for > limit

    def join(self, participant: ParticipantInfo) -> None:
        self.participants[participant.identity] = participant
        self.send_webhook("participant_joined", participant)
        if participant.kind == ParticipantInfo.Kind.AGENT:
            for leg in self.legs.values():
                leg.answer_if_agent_present()
        self.call.changed()

    def publish_audio(self, identity: str) -> None:
        """LiveKit's webhook about a track has no more of its participant than the identity."""
        self.participants[identity].tracks.append(AGENT_AUDIO)
        self.send_webhook("track_published", ParticipantInfo(identity=identity), AGENT_AUDIO)

    def join_leg(self, leg: "SipLeg") -> None:
        self.had_leg = True
        self.legs[leg.identity] = leg
        self.join(leg.info)

    def leave(self, identity: str, reason: DisconnectReason) -> None:
        participant = self.participants.pop(identity, None)
        if participant is None:
            return
        leg = self.legs.pop(identity, None)
        if leg:
            leg.left(486 if leg.state is State.RINGING else 200)
            self._empty_since = asyncio.get_running_loop().time()
        gone = ParticipantInfo()
        gone.CopyFrom(participant)
        gone.disconnect_reason = reason
        self.send_webhook("participant_left", gone)
        self.call.changed()

    def close(self, reason: DisconnectReason) -> None:
        self.is_closed = True
        for identity in list(self.participants):
            self.leave(identity, reason)
        self.call.changed()
        self.call.tasks.start(self._finish(), f"end of {self.name}")

    def send_webhook(
        self,
        event: str,
        participant: ParticipantInfo | None = None,
        track: TrackInfo | None = None,
    ) -> None:
        self._webhooks += 1
        kind = ParticipantInfo.Kind.Name(participant.kind) if participant else ""
        body = webhook(f"EV_{self.name}_{self._webhooks}", event, self.name, participant, track)
        request = Request(f"{event} {kind}", "/livekit/webhook", body, _headers)
        self.call.tasks.start(self.call.sender.send_webhook(request), f"{event} {self.name}")

    async def _finish(self) -> None:
        rng = self.call.random.generator("room_finished", self.name[:4])
        await asyncio.sleep(rng.uniform(*FINISHED_AFTER))
        self.send_webhook("room_finished")


class SipLeg(Leg):
    """A SIP participant. An inbound one is answered as soon as an agent is in the room."""

    def __init__(self, room: SimulatedRoom, identity: str, *, waits_for_agent: bool) -> None:
        super().__init__(room.call)
        self.room = room
        self.identity = identity
        self._waits_for_agent = waits_for_agent
        attributes = {"sip.callStatus": "ringing", "sip.callID": f"SCL_{room.name}"}
        if waits_for_agent:  # it came by a dispatch rule, LiveKit did not dial it
            attributes["sip.ruleID"] = "SDR_1"
        self.info = ParticipantInfo(
            identity=identity, kind=ParticipantInfo.Kind.SIP, attributes=attributes
        )
        room.join_leg(self)
        self.answer_if_agent_present()

    @property
    def is_silent(self) -> bool:
        return not self.room.has_agent

    def answer_if_agent_present(self) -> None:
        if self._waits_for_agent and self.state is State.RINGING and self.room.has_agent:
            self.answer()

    def answer(self) -> None:
        self.info.attributes["sip.callStatus"] = "active"
        self.call.answered_rooms.add(self.room.name)
        super().answer()

    def hang_up(self) -> None:
        self.room.leave(self.identity, DisconnectReason.CLIENT_INITIATED)

    def left(self, sip_status: int) -> None:
        self.info.attributes["sip.callStatus"] = "hangup"
        self.end(sip_status)


def _headers(body: bytes) -> dict[str, str]:
    return {"Authorization": authorization(body), "Content-Type": "application/webhook+json"}
