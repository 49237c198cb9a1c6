"""The composition root: `build_services()` makes every part of a gateway, from the bottom up."""

import secrets
import uuid
from collections.abc import Awaitable, Callable

from gateway.api.limits import Limits
from gateway.api.services import Listeners, Services
from gateway.clock import Clock
from gateway.config.settings import Config
from gateway.history.audit import Audit
from gateway.history.database import HistoryDatabase
from gateway.history.directory import CallDirectory
from gateway.history.history import History
from gateway.history.writer import HistoryWriter
from gateway.inbound.participant_strategy import ParticipantStrategy
from gateway.inbound.room_strategy import RoomStrategy
from gateway.inbound.service import InboundCalls
from gateway.inbound.strategy import Strategy
from gateway.inbound.web_calls import WebCalls
from gateway.lifecycle.agent_wait import AgentWait
from gateway.lifecycle.deadlines import Deadlines
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.dialing import Dialer
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.livekit.sip import SipParticipants
from gateway.livekit.trunks import OutboundTrunk, Trunks
from gateway.livekit.webhooks import WebhookVerifier
from gateway.monitor.availability import Availability
from gateway.monitor.deadline_loop import DeadlineLoop
from gateway.monitor.diagnostics import Counters
from gateway.monitor.dispatch_rules import DispatchRules
from gateway.monitor.readiness import Readiness
from gateway.monitor.reconciler import Reconciler
from gateway.monitor.stray_legs import StrayLegs
from gateway.monitor.stray_rooms import StrayRooms
from gateway.outbound.service import OutboundCalls
from gateway.storage.backend import StorageBackend
from gateway.telemetry.metrics import Metrics
from gateway.transfers.announced import AnnouncedTransfers
from gateway.transfers.fallback import Fallback
from gateway.transfers.refer import Refers
from gateway.transfers.service import Transfers
from gateway.transfers.warm import WarmTransfers


def new_inbound_id() -> str:
    """A call's id, which is also its LiveKit room's name and the user part of its SIP URI."""
    return f"call-{uuid.uuid4()}"


def new_outbound_id() -> str:
    """As `new_inbound_id()`, for a call that n8n asks for."""
    return f"outbound-{secrets.token_hex(5)}"


def build_services(
    config: Config,
    livekit: LiveKit,
    storage: StorageBackend,
    *,
    check_callback_url: Callable[[str], Awaitable[None]],
    clock: Clock,
    metrics: Metrics,
    probe: LiveKit | None = None,
    database: HistoryDatabase | None = None,
) -> Services:
    """Everything that handlers use, wired together; needs a running event loop.

    The caller opens and closes `livekit`, `database` (the history's, None without one) and
    `storage`, which has the same `clock`.
    `check_callback_url` raises UrlRejected. `probe` is the client by which readiness is
    checked, with connections of its own: `livekit` if there is none.
    """
    counters = Counters()
    deadlines = Deadlines(config)
    deferred = DeferredWrites()
    room_cleanup = RoomCleanup(livekit, clock.uptime)
    lifecycle = Lifecycle(storage.registry, room_cleanup, deferred, metrics)
    sip, trunks = SipParticipants(livekit), Trunks(livekit)
    dialer = Dialer(lifecycle=lifecycle, sip=sip, clock=clock)
    agent_wait = AgentWait(lifecycle, livekit, clock)
    trunk = OutboundTrunk(trunks, config.outbound.trunk_id, clock.uptime)
    fallback = Fallback(config, lifecycle, clock)
    rooms = RoomStrategy(config, livekit=livekit, fallback=fallback, clock=clock)
    announced = AnnouncedTransfers(
        config, registry=storage.registry, lifecycle=lifecycle, livekit=livekit, clock=clock
    )
    transfers = Transfers(
        config,
        registry=storage.registry,
        lifecycle=lifecycle,
        sip=sip,
        fallback=fallback,
        announced=announced,
        warm=WarmTransfers(config, sip=sip, trunk=trunk),
        connect=rooms.connect,
        clock=clock,
    )
    strategy: Strategy = rooms
    if config.inbound.strategy == "participant":
        strategy = ParticipantStrategy(
            config,
            rooms=rooms,
            lifecycle=lifecycle,
            agent_wait=agent_wait,
            dialer=dialer,
            trunk=trunk,
            clock=clock,
        )
    inbound = InboundCalls(
        config,
        registry=storage.registry,
        lifecycle=lifecycle,
        strategy=strategy,
        fallback=fallback,
        transfers=transfers,
        new_call_id=new_inbound_id,
        clock=clock,
    )
    web_calls = WebCalls(
        config,
        lifecycle=lifecycle,
        rooms=rooms,
        agent_wait=agent_wait,
        dialer=dialer,
        new_call_id=new_inbound_id,
        clock=clock,
    )
    outbound = OutboundCalls(
        config,
        lifecycle=lifecycle,
        livekit=livekit,
        agent_wait=agent_wait,
        dialer=dialer,
        trunk=trunk,
        check_callback_url=check_callback_url,
        clock=clock,
    )
    rules, availability = DispatchRules(trunks, clock), Availability(clock.uptime)
    reconciler = Reconciler(
        config,
        registry=storage.registry,
        lifecycle=lifecycle,
        livekit=livekit,
        room_cleanup=room_cleanup,
        stray_rooms=StrayRooms(livekit, rules, room_cleanup, counters, clock),
        stray_legs=StrayLegs(livekit, rules, lifecycle, counters, clock),
        availability=availability,
        clock=clock,
    )
    deadline_loop = DeadlineLoop(
        config,
        registry=storage.registry,
        lifecycle=lifecycle,
        livekit=livekit,
        room_cleanup=room_cleanup,
        outbox=storage.outbox,
        deferred=deferred,
        reconciler=reconciler,
        deadlines=deadlines,
        leader=storage.leader,
        availability=availability,
        clock=clock,
    )
    history = History(database) if database else None
    audit = Audit(database, clock)
    writer = None
    if database and history:
        writer = HistoryWriter(
            config.history,
            database=database,
            history=history,
            audit=audit,
            unsaved=storage.unsaved,
            clock=clock,
        )
    return Services(
        config=config,
        clock=clock,
        counters=counters,
        metrics=metrics,
        limits=Limits(config),
        listeners=Listeners(),
        livekit=livekit,
        webhooks=WebhookVerifier(config.livekit.accepted_keys),
        storage=storage,
        calls=CallDirectory(storage, history, clock),
        audit=audit,
        history=writer,
        readiness=Readiness({"livekit": (probe or livekit).ping, "storage": storage.probe}),
        lifecycle=lifecycle,
        deferred=deferred,
        room_cleanup=room_cleanup,
        dialer=dialer,
        transfers=transfers,
        announced=announced,
        refers=Refers(storage.registry, transfers),
        inbound=inbound,
        web_calls=web_calls,
        outbound=outbound,
        reconciler=reconciler,
        deadline_loop=deadline_loop,
    )
