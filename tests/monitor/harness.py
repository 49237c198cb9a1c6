"""A gateway without its HTTP server, a fake LiveKit, and a clock that the test sets."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from livekit.protocol.models import DisconnectReason, ParticipantInfo, Room
from livekit.protocol.room import ListParticipantsRequest, RoomParticipantIdentity

from gateway.api.services import Services
from gateway.callbacks.delivery import Answer
from gateway.callbacks.delivery_loop import Transport
from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.calls.participants import Participant, ParticipantKind
from gateway.clock import Clock
from gateway.config.settings import Config
from gateway.lifecycle.call_metrics import new_metrics
from gateway.lifecycle.deadlines import Deadlines
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import room_metadata
from gateway.livekit.webhooks import RoomEvent, read_webhook
from gateway.storage.memory.backend import memory_backend
from gateway.wiring import build_services, new_outbound_id
from tests.fakes import webhooks
from tests.fakes.clock import clock_showing
from tests.fakes.livekit import FakeLiveKit, TwirpError

START = 1_700_000_000_000
ROOM = "call-1"
URL = "https://gateway.example.com"
CALLBACK = "https://n8n.example.com/webhook?signature=x"
OUR_RULE = "SDR_ours"
THEIR_RULE = "SDR_theirs"
UNAVAILABLE = TwirpError(503, "unavailable", "no nodes")
AGENT = ParticipantInfo.Kind.AGENT
SIP = ParticipantInfo.Kind.SIP

INBOUND = Call(
    ROOM,
    Direction.INBOUND,
    "agent",
    START,
    from_number="+15550100",
    to_number="+15550199",
    max_call_duration=1000,
    jambonz={"call_sid": "sid-1"},
)
OUTBOUND = replace(
    INBOUND,
    call_id="outbound-1",
    direction=Direction.OUTBOUND,
    ringing_timeout=90,
    jambonz={},
    callback_url=CALLBACK,
)


def services_in_memory(
    config: Config, livekit: LiveKit, transport: Transport, *, clock: Clock
) -> Services:
    metrics = new_metrics()
    storage = memory_backend(
        config,
        transport,
        deadline=Deadlines(config).next,
        new_call_id=new_outbound_id,
        clock=clock,
        metrics=metrics,
    )
    return build_services(
        config, livekit, storage, check_callback_url=_any_url, clock=clock, metrics=metrics
    )


async def _any_url(_: str) -> None:
    """These calls have no callback URLs."""


@dataclass
class CallbackRecorder:
    """A transport that records callbacks: URL, event and disconnection reason."""

    sent: list[tuple[str, str, str]] = field(default_factory=list)

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        payload = json.loads(body)
        reason = payload["call"]["disconnection_reason"]
        self.sent.append((url, payload["event"], reason))
        return Answer(204)

    async def received(self, number: int) -> list[tuple[str, str, str]]:
        """All callbacks, once there are at least `number`."""
        async with asyncio.timeout(5):
            while len(self.sent) < number:
                await asyncio.sleep(0)
        return self.sent


@dataclass
class Harness:
    """The gateway; `now` in ms since epoch, durations in s.

    The system's clock was set forward by `step` ms.
    """

    config: Config
    fake: FakeLiveKit
    livekit: LiveKit
    callbacks: CallbackRecorder = field(default_factory=CallbackRecorder)
    now: int = START
    step: int = 0
    _webhooks: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Replace the gateway by a new one without any stored calls, as if it had been killed."""
        clock = clock_showing(lambda: self.now, step=lambda: self.step)
        self.services = services_in_memory(self.config, self.livekit, self.callbacks, clock=clock)

    def restart(self, *, after: float) -> None:
        self.now += round(after * 1000)
        self.start()

    async def register_with_room(self, call: Call = INBOUND) -> None:
        """A registered call with its room, as the strategies create them."""
        await self.services.lifecycle.register(call)
        self.add_room_of(call)

    def add_room_of(self, call: Call, *, own_url: str = URL, enqueues: bool = False) -> None:
        metadata = room_metadata(call, own_url=own_url, enqueues=enqueues)
        self.add_room(call.call_id, metadata)

    def add_room(self, name: str, metadata: str = "", *, created_at: int | None = None) -> None:
        """`created_at` in ms since epoch by LiveKit's clock; without it, both clocks agree."""
        created_at = self.now if created_at is None else created_at
        room = Room(name=name, sid=f"RM_{name}", metadata=metadata, creation_time_ms=created_at)
        self.fake.rooms[name] = room

    def add_leg(
        self,
        status: str = "active",
        *,
        room: str = ROOM,
        rule: str | None = None,
        identity: str = "sip_caller",
    ) -> None:
        """Add a leg. Without `rule` it is the caller's: LiveKit dials that of outbound calls."""
        if rule is None:
            rule = OUR_RULE if room.startswith("call-") else ""
        attributes = {"sip.callStatus": status} | ({"sip.ruleID": rule} if rule else {})
        self.fake.add_participant(room, SIP, identity, attributes, joined_at=self.now)

    def add_agent(self, room: str = ROOM) -> None:
        self.fake.add_participant(room, AGENT, "agent-AJ_1")

    def remove(self, kind: ParticipantInfo.Kind, room: str = ROOM) -> None:
        self.fake.participants[room] = [
            participant for participant in self.fake.participants[room] if participant.kind != kind
        ]

    async def apply(self, *kinds: EventKind, room: str = ROOM) -> None:
        for kind in kinds:
            await self.services.lifecycle.apply(room, Event(kind, self.now))

    async def reconcile(self, *, after: float = 15) -> None:
        self.now += round(after * 1000)
        await self.services.deadline_loop.reconcile()

    async def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        await self.services.deadline_loop.tick()

    async def webhook(
        self, kind: EventKind, room: str = ROOM, *, metadata: str = "", rule: str = ""
    ) -> None:
        leg = Participant("sip_webhook", ParticipantKind.SIP, rule_id=rule) if rule else None
        event = Event(kind, self.now, id=f"EV_{kind}_{room}", participant=leg)
        await self.services.reconciler.on_webhook(
            RoomEvent(kind, room, event, f"RM_{room}", metadata)
        )

    async def joins(
        self,
        identity: str,
        kind: ParticipantInfo.Kind = SIP,
        attributes: Mapping[str, str] | None = None,
        *,
        room: str = ROOM,
        is_webhook_lost: bool = False,
    ) -> None:
        """Somebody joins the room, and LiveKit lists them and sends its webhook."""
        self.fake.add_participant(room, kind, identity, attributes, joined_at=self.now)
        if not is_webhook_lost:
            await self._send("participant_joined", self.fake.participants[room][-1], room)

    async def leaves(
        self,
        identity: str,
        why: DisconnectReason = DisconnectReason.CLIENT_INITIATED,
        *,
        room: str = ROOM,
        is_webhook_lost: bool = False,
        is_listed: bool = False,
    ) -> None:
        """The same when somebody leaves; where they are `is_listed` they have come back."""
        (gone,) = [it for it in self.fake.participants[room] if it.identity == identity]
        if not is_listed:
            self.fake.participants[room].remove(gone)
        left = ParticipantInfo()
        left.CopyFrom(gone)
        left.disconnect_reason = why
        if not is_webhook_lost:
            await self._send("participant_left", left, room)

    async def _send(self, name: str, participant: ParticipantInfo, room: str) -> None:
        self._webhooks += 1
        body = webhooks.webhook(f"EV_{self._webhooks}", name, room, participant)
        await self.services.reconciler.on_webhook(read_webhook(body, self.now))

    def removed(self) -> list[str]:
        """The identities of the participants that the gateway removed."""
        return [it.identity for it in self.fake.requested(RoomParticipantIdentity)]

    async def events(self, room: str = ROOM) -> list[str]:
        return [entry.event for entry in (await self.call(room)).timeline]

    async def call(self, room: str = ROOM) -> Call:
        call = await self.services.storage.registry.get(room)
        assert call, "it is not stored"
        return call

    async def state(self, room: str = ROOM) -> tuple[str, str | None]:
        call = await self.call(room)
        return call.call_status, call.disconnection_reason

    async def is_stored(self, room: str = ROOM) -> bool:
        return await self.services.storage.registry.get(room) is not None

    def participant_requests(self, room: str) -> int:
        """How often LiveKit was asked for the participants of `room`."""
        requests = self.fake.requested(ListParticipantsRequest)
        return sum(1 for request in requests if request.room == room)
