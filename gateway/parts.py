"""What a gateway is made of: each part made once, when another one first needs it."""

import secrets
import time
import uuid
from functools import cached_property

from gateway.callbacks.outbox import Outbox
from gateway.callbacks.sender import Sender
from gateway.calls import Call
from gateway.fallback import Fallback
from gateway.idempotency import OnceOnly
from gateway.inbound import InboundCalls
from gateway.legs import Legs
from gateway.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.sip import SipLegs
from gateway.livekit.trunks import OutboundTrunk, Trunks
from gateway.outbound import OutboundCalls
from gateway.registry import CallRegistry
from gateway.registry.memory import MemoryRegistry
from gateway.settings import Config
from gateway.strategies import Strategy
from gateway.strategies.participant import ParticipantStrategy
from gateway.strategies.room import RoomStrategy
from gateway.sweeper import Sweeper
from gateway.transfer import Transfers
from gateway.watch import Watch


def clock() -> int:
    """Now, in ms since epoch."""
    return time.time_ns() // 1_000_000


def new_inbound_id() -> str:
    """A call's id, which is a room name, a SIP user part and a key all at once."""
    return f"call-{uuid.uuid4()}"


def new_outbound_id() -> str:
    return f"outbound-{secrets.token_hex(5)}"


class Parts:
    """Needs a running loop; what it is given stays the giver's to close."""

    def __init__(self, config: Config, livekit: LiveKit, sender: Sender) -> None:
        self.config = config
        self.livekit = livekit
        self._sender = sender

    async def close(self, *, grace: float) -> None:
        """Stop what runs beside the doors; callbacks under way get `grace` s."""
        await self._legs.close()
        await self.outbox.close(grace=grace)

    @cached_property
    def registry(self) -> CallRegistry:
        return MemoryRegistry(self.config.registry)

    @cached_property
    def sweeper(self) -> Sweeper:
        return Sweeper(self.livekit, clock)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.config.callbacks, self._sender, clock)

    @cached_property
    def once_only(self) -> OnceOnly[Call]:
        return OnceOnly(ttl=self.config.outbound.idempotency_ttl, clock=clock)

    @cached_property
    def lifecycle(self) -> Lifecycle:
        return Lifecycle(self.registry, self.sweeper, on_change=self.outbox.changed)

    @cached_property
    def inbound(self) -> InboundCalls:
        return InboundCalls(
            self.config,
            registry=self.registry,
            lifecycle=self.lifecycle,
            strategy=self._strategy,
            fallback=self._fallback,
            transfers=self.transfers,
            new_call_id=new_inbound_id,
            clock=clock,
        )

    @cached_property
    def outbound(self) -> OutboundCalls:
        return OutboundCalls(
            self.config,
            registry=self.registry,
            lifecycle=self.lifecycle,
            livekit=self.livekit,
            legs=self._legs,
            trunk=self._trunk,
            new_call_id=new_outbound_id,
            clock=clock,
        )

    @cached_property
    def transfers(self) -> Transfers:
        return Transfers(
            self.config,
            registry=self.registry,
            lifecycle=self.lifecycle,
            sip=self._sip,
            fallback=self._fallback,
            clock=clock,
        )

    @cached_property
    def watch(self) -> Watch:
        return Watch(
            self.config,
            registry=self.registry,
            lifecycle=self.lifecycle,
            livekit=self.livekit,
            sweeper=self.sweeper,
            outbox=self.outbox,
            clock=clock,
        )

    @cached_property
    def _strategy(self) -> Strategy:
        rooms = RoomStrategy(
            self.config, livekit=self.livekit, fallback=self._fallback, clock=clock
        )
        if self.config.inbound.strategy == "room":
            return rooms
        return ParticipantStrategy(
            self.config,
            rooms=rooms,
            registry=self.registry,
            lifecycle=self.lifecycle,
            livekit=self.livekit,
            legs=self._legs,
            trunk=self._trunk,
            clock=clock,
        )

    @cached_property
    def _fallback(self) -> Fallback:
        return Fallback(self.config, self.lifecycle, clock)

    @cached_property
    def _sip(self) -> SipLegs:
        return SipLegs(self.livekit)

    @cached_property
    def _legs(self) -> Legs:
        return Legs(registry=self.registry, lifecycle=self.lifecycle, sip=self._sip, clock=clock)

    @cached_property
    def _trunk(self) -> OutboundTrunk:
        return OutboundTrunk(Trunks(self.livekit), self.config.outbound.trunk_id, clock)
