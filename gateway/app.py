"""Builds the gateway from its configuration, top to bottom, and takes it down in reverse."""

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from gateway.callbacks.outbox import Outbox
from gateway.callbacks.sender import Sender
from gateway.diagnostics import Seen
from gateway.fallback import Fallback
from gateway.idempotency import OnceOnly
from gateway.inbound import InboundCalls
from gateway.legs import Legs
from gateway.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.sip import SipLegs
from gateway.livekit.trunks import OutboundTrunk, Trunks
from gateway.livekit.webhooks import ProofOfKey
from gateway.outbound import OutboundCalls
from gateway.registry.memory import MemoryRegistry
from gateway.settings import Config
from gateway.strategies import Strategy
from gateway.strategies.participant import ParticipantStrategy
from gateway.strategies.room import RoomStrategy
from gateway.sweeper import Sweeper
from gateway.transfer import Transfers
from gateway.watch import Watch
from gateway.web import jambonz, keys, livekit, middlewares, n8n, ops, simple

log = structlog.get_logger()

#: How long callbacks under way may take when the gateway stops, in s.
CALLBACK_GRACE = 3.0


def create_app(config: Config) -> web.Application:
    """The gateway as an aiohttp application; it opens nothing before it is started."""
    app = web.Application(
        middlewares=[middlewares.errors], client_max_size=config.server.max_body_bytes
    )
    app[keys.CONFIG] = config
    app[keys.CLOCK] = clock
    app[keys.HEALTH] = keys.Health()
    app[keys.SEEN] = Seen()
    app[keys.PROOF] = ProofOfKey(config.livekit.api_key, config.livekit.api_secret)
    app.cleanup_ctx.append(_parts)
    app.cleanup_ctx.append(_watching)
    for module in (jambonz, livekit, n8n, ops, simple):
        app.add_routes(module.routes)
    return app


def clock() -> int:
    """Now, in ms since epoch."""
    return time.time_ns() // 1_000_000


def new_inbound_id() -> str:
    """A call's id, which is a room name, a SIP user part and a key all at once."""
    return f"call-{uuid.uuid4()}"


def new_outbound_id() -> str:
    return f"outbound-{secrets.token_hex(5)}"


async def _parts(app: web.Application) -> AsyncIterator[None]:
    config = app[keys.CONFIG]
    settings = config.livekit
    async with (
        LiveKit.connected(
            settings.url, settings.api_key, settings.api_secret, deadline=settings.deadline
        ) as client,
        Sender.open(config.callbacks) as sender,
    ):
        registry = MemoryRegistry(config.registry)
        sweeper = Sweeper(client, clock)
        outbox = Outbox(config.callbacks, sender, clock)
        lifecycle = Lifecycle(registry, sweeper, on_change=outbox.changed)
        sip = SipLegs(client)
        legs = Legs(registry=registry, lifecycle=lifecycle, sip=sip, clock=clock)
        trunk = OutboundTrunk(Trunks(client), config.outbound.trunk_id, clock)
        fallback = Fallback(config, lifecycle, clock)
        transfers = Transfers(
            config,
            registry=registry,
            lifecycle=lifecycle,
            sip=sip,
            fallback=fallback,
            clock=clock,
        )
        strategy: Strategy
        strategy = rooms = RoomStrategy(config, livekit=client, fallback=fallback, clock=clock)
        if config.inbound.strategy == "participant":
            strategy = ParticipantStrategy(
                config,
                rooms=rooms,
                registry=registry,
                lifecycle=lifecycle,
                livekit=client,
                legs=legs,
                trunk=trunk,
                clock=clock,
            )
        inbound = InboundCalls(
            config,
            registry=registry,
            lifecycle=lifecycle,
            strategy=strategy,
            fallback=fallback,
            transfers=transfers,
            new_call_id=new_inbound_id,
            clock=clock,
        )
        outbound = OutboundCalls(
            config,
            registry=registry,
            lifecycle=lifecycle,
            livekit=client,
            legs=legs,
            trunk=trunk,
            new_call_id=new_outbound_id,
            clock=clock,
        )
        app[keys.LIVEKIT] = client
        app[keys.REGISTRY] = registry
        app[keys.SWEEPER] = sweeper
        app[keys.OUTBOX] = outbox
        app[keys.LIFECYCLE] = lifecycle
        app[keys.INBOUND] = inbound
        app[keys.OUTBOUND] = outbound
        app[keys.TRANSFERS] = transfers
        app[keys.ONCE_ONLY] = OnceOnly(ttl=config.outbound.idempotency_ttl, clock=clock)
        app[keys.WATCH] = Watch(
            config,
            registry=registry,
            lifecycle=lifecycle,
            livekit=client,
            sweeper=sweeper,
            outbox=outbox,
            clock=clock,
        )
        yield
        await strategy.close()
        await outbound.close()
        await outbox.close(grace=CALLBACK_GRACE)


async def _watching(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[keys.WATCH].run(), name="watch")
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
