"""What a gateway is made of: each part made once, when another one first needs it."""

import secrets
import time
import uuid
from collections.abc import Callable
from functools import cached_property

from gateway.callbacks.delivery_loop import Courier, Sends
from gateway.config.settings import Config
from gateway.inbound.participant_strategy import ParticipantStrategy
from gateway.inbound.room_strategy import RoomStrategy
from gateway.inbound.service import InboundCalls
from gateway.inbound.strategy import Strategy
from gateway.lifecycle.deadlines import Deadlines
from gateway.lifecycle.deferred import Backlog
from gateway.lifecycle.dialing import Legs
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.lifecycle.room_cleanup import Sweeper
from gateway.livekit.client import LiveKit
from gateway.livekit.sip import SipLegs
from gateway.livekit.trunks import OutboundTrunk, Trunks
from gateway.monitor.deadline_loop import Watch
from gateway.monitor.diagnostics import Seen
from gateway.monitor.reconciler import Rooms
from gateway.monitor.stray_rooms import Uninvited
from gateway.outbound.service import OutboundCalls
from gateway.storage.redis.database import Database
from gateway.storage.registry import CallRegistry
from gateway.storage.stores import Stores, in_memory, in_redis
from gateway.transfers.fallback import Fallback
from gateway.transfers.service import Transfers


def now() -> int:
    """Now, in ms since epoch."""
    return time.time_ns() // 1_000_000


def new_inbound_id() -> str:
    """A call's id, which is a room name, a SIP user part and a key all at once."""
    return f"call-{uuid.uuid4()}"


def new_outbound_id() -> str:
    return f"outbound-{secrets.token_hex(5)}"


class Parts:
    """Needs a running loop; what it is given stays the giver's to close.

    With a `database` it keeps there what is to be shared, else in memory.
    """

    def __init__(
        self,
        config: Config,
        livekit: LiveKit,
        sender: Sends,
        seen: Seen,
        database: Database | None = None,
        *,
        clock: Callable[[], int] = now,
    ) -> None:
        self.config = config
        self.livekit = livekit
        self.seen = seen
        self._sender = sender
        self._database = database
        self._clock = clock

    async def close(self, *, grace: float) -> None:
        """Stop what runs beside the doors; callbacks under way get `grace` s."""
        await self._legs.close()
        await self._backlog.close()
        await self.stores.turn.give_up()
        await self.stores.outbox.close(grace=grace)

    @cached_property
    def stores(self) -> Stores:
        courier = Courier(self.config.callbacks, self._sender, self._clock)
        new, clock, deadline = new_outbound_id, self._clock, self._deadlines.next
        if self._database:
            return in_redis(
                self._database,
                self.config,
                courier,
                deadline=deadline,
                new_call_id=new,
                clock=clock,
            )
        return in_memory(self.config, courier, deadline=deadline, new_call_id=new, clock=clock)

    @cached_property
    def registry(self) -> CallRegistry:
        return self.stores.registry

    @cached_property
    def sweeper(self) -> Sweeper:
        return Sweeper(self.livekit, self._clock)

    @cached_property
    def lifecycle(self) -> Lifecycle:
        return Lifecycle(self.registry, self.sweeper, self._backlog)

    @cached_property
    def rooms(self) -> Rooms:
        return Rooms(
            self.config,
            registry=self.registry,
            lifecycle=self.lifecycle,
            livekit=self.livekit,
            sweeper=self.sweeper,
            uninvited=Uninvited(
                self.livekit, Trunks(self.livekit), self.sweeper, self.seen, self._clock
            ),
            clock=self._clock,
        )

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
            clock=self._clock,
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
            clock=self._clock,
        )

    @cached_property
    def transfers(self) -> Transfers:
        return Transfers(
            self.config,
            registry=self.registry,
            lifecycle=self.lifecycle,
            sip=self._sip,
            fallback=self._fallback,
            clock=self._clock,
        )

    @cached_property
    def watch(self) -> Watch:
        return Watch(
            self.config,
            registry=self.registry,
            lifecycle=self.lifecycle,
            livekit=self.livekit,
            sweeper=self.sweeper,
            outbox=self.stores.outbox,
            backlog=self._backlog,
            rooms=self.rooms,
            deadlines=self._deadlines,
            turn=self.stores.turn,
            clock=self._clock,
        )

    @cached_property
    def _backlog(self) -> Backlog:
        return Backlog()

    @cached_property
    def _deadlines(self) -> Deadlines:
        return Deadlines(self.config)

    @cached_property
    def _strategy(self) -> Strategy:
        rooms = RoomStrategy(
            self.config, livekit=self.livekit, fallback=self._fallback, clock=self._clock
        )
        if self.config.inbound.strategy == "room":
            return rooms
        return ParticipantStrategy(
            self.config,
            rooms=rooms,
            lifecycle=self.lifecycle,
            livekit=self.livekit,
            legs=self._legs,
            trunk=self._trunk,
            clock=self._clock,
        )

    @cached_property
    def _fallback(self) -> Fallback:
        return Fallback(self.config, self.lifecycle, self._clock)

    @cached_property
    def _sip(self) -> SipLegs:
        return SipLegs(self.livekit)

    @cached_property
    def _legs(self) -> Legs:
        return Legs(lifecycle=self.lifecycle, sip=self._sip, clock=self._clock)

    @cached_property
    def _trunk(self) -> OutboundTrunk:
        return OutboundTrunk(Trunks(self.livekit), self.config.outbound.trunk_id, self._clock)
