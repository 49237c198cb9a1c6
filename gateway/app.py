"""The gateway as an aiohttp application: doors, and what is behind them, up and down again."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.callbacks.sender import Sender
from gateway.diagnostics import Seen
from gateway.livekit.client import LiveKit
from gateway.livekit.webhooks import ProofOfKey
from gateway.parts import Parts, now
from gateway.settings import Config
from gateway.web import jambonz, keys, livekit, middlewares, n8n, ops, simple

#: How long callbacks under way may take when the gateway stops, in s.
CALLBACK_GRACE = 3.0


def create_app(config: Config) -> web.Application:
    """The gateway as an aiohttp application; it opens nothing before it is started."""
    app = web.Application(
        middlewares=[middlewares.errors], client_max_size=config.server.max_body_bytes
    )
    app[keys.CONFIG] = config
    app[keys.CLOCK] = now
    app[keys.HEALTH] = keys.Health()
    app[keys.SEEN] = Seen()
    app[keys.PROOF] = ProofOfKey(config.livekit.api_key, config.livekit.api_secret)
    app.cleanup_ctx.append(_parts)
    app.cleanup_ctx.append(_watching)
    for module in (jambonz, livekit, n8n, ops, simple):
        app.add_routes(module.routes)
    return app


async def _parts(app: web.Application) -> AsyncIterator[None]:
    config = app[keys.CONFIG]
    settings = config.livekit
    async with (
        LiveKit.connected(
            settings.url, settings.api_key, settings.api_secret, deadline=settings.deadline
        ) as client,
        Sender.open(config.callbacks) as sender,
    ):
        parts = Parts(config, client, sender, app[keys.SEEN])
        app[keys.LIVEKIT] = client
        app[keys.REGISTRY] = parts.registry
        app[keys.SWEEPER] = parts.sweeper
        app[keys.OUTBOX] = parts.outbox
        app[keys.LIFECYCLE] = parts.lifecycle
        app[keys.INBOUND] = parts.inbound
        app[keys.OUTBOUND] = parts.outbound
        app[keys.TRANSFERS] = parts.transfers
        app[keys.ONCE_ONLY] = parts.once_only
        app[keys.WATCH] = parts.watch
        app[keys.ROOMS] = parts.rooms
        yield
        await parts.close(grace=CALLBACK_GRACE)


async def _watching(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[keys.WATCH].run(), name="watch")
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
