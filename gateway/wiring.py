"""What a gateway is made of: each part made once, when another one first needs it."""

import secrets
import time
import uuid
from collections.abc import Callable
from functools import cached_property

from gateway.callbacks.delivery_loop import Deliverer, Transport
from gateway.config.settings import Config
from gateway.inbound.participant_strategy import ParticipantStrategy
from gateway.inbound.room_strategy import RoomStrategy
from gateway.inbound.service import InboundCalls
from gateway.inbound.strategy import Strategy
from gateway.lifecycle.deadlines import Deadlines
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.dialing import Dialer
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.livekit.sip import SipLegs
from gateway.livekit.trunks import OutboundTrunk, Trunks
from gateway.monitor.deadline_loop import DeadlineLoop
from gateway.monitor.diagnostics import Counters
from gateway.monitor.reconciler import Reconciler
from gateway.monitor.stray_rooms import StrayRooms
from gateway.outbound.service import OutboundCalls
from gateway.storage.redis.database import Database
from gateway.storage.registry import CallRegistry
from gateway.storage.stores import StorageBackend, memory_backend, redis_backend
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
        sender: Transport,
        counters: Counters,
        database: Database | None = None,
        *,
        clock: Callable[[], int] = now,
    ) -> None:
        self.config = config
        self.livekit = livekit
        self.counters = counters
        self._sender = sender
        self._database = database
        self._clock = clock

    async def close(self, *, grace: float) -> None:
        """Stop what runs beside the doors; callbacks under way get `grace` s."""
        await self._dialer.close()
        await self._deferred.close()
        await self.stores.leader.release()
        await self.stores.outbox.close(grace=grace)

    @cached_property
    def stores(self) -> StorageBackend:
        deliverer = Deliverer(self.config.callbacks, self._sender, self._clock)
        new, clock, deadline = new_outbound_id, self._clock, self._deadlines.next
        if self._database:
            return redis_backend(
                self._database,
                self.config,
                deliverer,
                deadline=deadline,
                new_call_id=new,
                clock=clock,
            )
        return memory_backend(
            self.config, deliverer, deadline=deadline, new_call_id=new, clock=clock
        )

    @cached_property
    def registry(self) -> CallRegistry:
        return self.stores.registry

    @cached_property
    def room_cleanup(self) -> RoomCleanup:
        return RoomCleanup(self.livekit, self._clock)

    @cached_property
    def lifecycle(self) -> Lifecycle:
        return Lifecycle(self.registry, self.room_cleanup, self._deferred)

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(
            self.config,
            registry=self.registry,
            lifecycle=self.lifecycle,
            livekit=self.livekit,
            room_cleanup=self.room_cleanup,
            stray_rooms=StrayRooms(
                self.livekit, Trunks(self.livekit), self.room_cleanup, self.counters, self._clock
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
            dialer=self._dialer,
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
    def deadline_loop(self) -> DeadlineLoop:
        return DeadlineLoop(
            self.config,
            registry=self.registry,
            lifecycle=self.lifecycle,
            livekit=self.livekit,
            room_cleanup=self.room_cleanup,
            outbox=self.stores.outbox,
            deferred=self._deferred,
            reconciler=self.reconciler,
            deadlines=self._deadlines,
            leader=self.stores.leader,
            clock=self._clock,
        )

    @cached_property
    def _deferred(self) -> DeferredWrites:
        return DeferredWrites()

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
            dialer=self._dialer,
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
    def _dialer(self) -> Dialer:
        return Dialer(lifecycle=self.lifecycle, sip=self._sip, clock=self._clock)

    @cached_property
    def _trunk(self) -> OutboundTrunk:
        return OutboundTrunk(Trunks(self.livekit), self.config.outbound.trunk_id, self._clock)
