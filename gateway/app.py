"""Builds the gateway from its configuration, top to bottom, and takes it down in reverse."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from gateway.inbound import InboundCalls
from gateway.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.webhooks import ProofOfKey
from gateway.registry.memory import MemoryRegistry
from gateway.settings import Config
from gateway.sweeper import Sweeper
from gateway.watch import Watch
from gateway.web import jambonz, keys, livekit, middlewares, ops

log = structlog.get_logger()


def create_app(config: Config) -> web.Application:
    """The gateway as an aiohttp application; it opens nothing before it is started."""
    app = web.Application(
        middlewares=[middlewares.errors], client_max_size=config.server.max_body_bytes
    )
    app[keys.CONFIG] = config
    app[keys.CLOCK] = clock
    app[keys.HEALTH] = keys.Health()
    app[keys.PROOF] = ProofOfKey(config.livekit.api_key, config.livekit.api_secret)
    app.cleanup_ctx.append(_parts)
    app.cleanup_ctx.append(_watching)
    for module in (jambonz, livekit, ops):
        app.add_routes(module.routes)
    return app


def clock() -> int:
    """Now, in ms since epoch."""
    return time.time_ns() // 1_000_000


def new_call_id() -> str:
    """An inbound call's id, which is a room name, a SIP user part and a key all at once."""
    return f"call-{uuid.uuid4()}"


async def _parts(app: web.Application) -> AsyncIterator[None]:
    config = app[keys.CONFIG]
    settings = config.livekit
    async with LiveKit.connected(
        settings.url, settings.api_key, settings.api_secret, deadline=settings.deadline
    ) as client:
        registry = MemoryRegistry(config.registry)
        sweeper = Sweeper(client, clock)
        lifecycle = Lifecycle(registry, sweeper)
        app[keys.LIVEKIT] = client
        app[keys.REGISTRY] = registry
        app[keys.LIFECYCLE] = lifecycle
        app[keys.INBOUND] = InboundCalls(
            config,
            registry=registry,
            lifecycle=lifecycle,
            livekit=client,
            new_call_id=new_call_id,
            clock=clock,
        )
        app[keys.WATCH] = Watch(
            config,
            registry=registry,
            lifecycle=lifecycle,
            livekit=client,
            sweeper=sweeper,
            clock=clock,
        )
        yield


async def _watching(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[keys.WATCH].run(), name="watch")
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
