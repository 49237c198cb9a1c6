"""The gateway as an aiohttp application: doors, and what is behind them, up and down again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from gateway.api import errors as middlewares
from gateway.api import keys, limits
from gateway.api.routes import calls as ops
from gateway.api.routes import dispatch as n8n
from gateway.api.routes import events, jambonz, livekit, openapi
from gateway.api.routes import legacy as simple
from gateway.callbacks.sender import Sender
from gateway.config.settings import Config, StorageSettings
from gateway.livekit.client import LiveKit
from gateway.livekit.webhooks import WebhookVerifier
from gateway.monitor.diagnostics import Counters
from gateway.storage.redis.connect import connected
from gateway.storage.redis.database import Database
from gateway.wiring import Parts, now

log = structlog.get_logger()


def create_app(config: Config) -> web.Application:
    """The gateway as an aiohttp application; it opens nothing before it is started."""
    app = web.Application(
        middlewares=[limits.load_shedding, middlewares.errors],
        client_max_size=config.limits.max_body_bytes,
    )
    app[keys.CONFIG] = config
    app[keys.CLOCK] = now
    app[keys.HEALTH] = keys.Health()
    app[limits.LIMITS] = limits.Limits(config)
    app[keys.COUNTERS] = Counters()
    app[keys.LISTENERS] = keys.Listeners()
    app.on_shutdown.append(events.end_listening)
    app[keys.OPENAPI] = openapi.document()
    app[keys.WEBHOOK_VERIFIER] = WebhookVerifier(config.livekit.accepted_keys)
    app.cleanup_ctx.append(_parts)
    app.cleanup_ctx.append(_beside)
    for module in (events, jambonz, livekit, n8n, ops, simple, openapi):
        app.add_routes(module.routes)
    return app


async def _parts(app: web.Application) -> AsyncIterator[None]:
    config = app[keys.CONFIG]
    settings = config.livekit
    async with (
        LiveKit.connected(
            settings.url,
            settings.api_key,
            settings.api_secret,
            deadline=settings.timeout,
            connections=settings.connections,
            waiting=config.limits.max_active_calls,
        ) as client,
        Sender.open(config.callbacks) as sender,
        _database(config.storage) as database,
    ):
        parts = Parts(config, client, sender, app[keys.COUNTERS], database)
        app[keys.LIVEKIT] = client
        app[keys.REGISTRY] = parts.registry
        app[keys.ROOM_CLEANUP] = parts.room_cleanup
        app[keys.OUTBOX] = parts.stores.outbox
        app[keys.LIFECYCLE] = parts.lifecycle
        app[keys.INBOUND] = parts.inbound
        app[keys.OUTBOUND] = parts.outbound
        app[keys.TRANSFERS] = parts.transfers
        app[keys.IDEMPOTENCY] = parts.stores.idempotency
        app[keys.FEED] = parts.stores.feed
        app[keys.STORES] = parts.stores
        app[keys.DEADLINE_LOOP] = parts.deadline_loop
        app[keys.RECONCILER] = parts.reconciler
        yield
        await parts.close(grace=config.callbacks.flush_timeout)


async def _beside(app: web.Application) -> AsyncIterator[None]:
    """What runs beside the doors; it never ends by itself, and a defect in it is no end either."""
    runs = [app[keys.DEADLINE_LOOP].run, *app[keys.STORES].beside]
    tasks = [asyncio.create_task(_for_ever(run), name=run.__qualname__) for run in runs]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _for_ever(run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
        except Exception:
            log.exception("background_task.crashed", what=run.__qualname__)
        await asyncio.sleep(1)


@asynccontextmanager
async def _database(settings: StorageSettings) -> AsyncIterator[Database | None]:
    if not settings.url:
        yield None
        return
    async with connected(settings.url, deadline=settings.timeout) as client:
        yield Database(client, settings.prefix, deadline=settings.timeout)
