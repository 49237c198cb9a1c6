"""The aiohttp application: routes, middlewares, and what starts and stops with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from gateway.aio import BackgroundTasks, run_forever
from gateway.api.connections import header_limit
from gateway.api.errors import errors_to_responses
from gateway.api.routes import ENDPOINTS
from gateway.api.services import SERVICES
from gateway.callbacks.sender import Sender
from gateway.config.settings import Config, StorageSettings
from gateway.livekit.client import LiveKit
from gateway.storage.redis.connect import connected
from gateway.storage.redis.database import Database
from gateway.wiring import build_services


def create_app(config: Config) -> web.Application:
    """The gateway as an aiohttp application; it opens nothing before it is started."""
    app = web.Application(
        middlewares=[header_limit(config.limits), errors_to_responses],
        client_max_size=config.limits.max_body_bytes,
    )
    app.add_routes([endpoint.route for endpoint in ENDPOINTS])
    app.cleanup_ctx.append(lambda app: _services(app, config))
    app.cleanup_ctx.append(_background)
    app.on_shutdown.append(_end_live_feed)
    return app


async def _services(app: web.Application, config: Config) -> AsyncIterator[None]:
    settings = config.livekit
    async with (
        LiveKit.connected(
            settings.url,
            settings.api_key,
            settings.api_secret,
            timeout=settings.timeout,
            connections=settings.connections,
            slow_connections=config.limits.max_active_calls,
        ) as livekit,
        Sender.open(config.callbacks) as sender,
        _database(config.storage) as database,
    ):
        services = build_services(config, livekit, sender, database)
        app[SERVICES] = services
        yield
        await services.close()


async def _background(app: web.Application) -> AsyncIterator[None]:
    services, tasks = app[SERVICES], BackgroundTasks()
    for run in (services.deadline_loop.run, *services.storage.beside):
        tasks.spawn(run_forever(run), name=run.__qualname__)
    yield
    await tasks.close()


async def _end_live_feed(app: web.Application) -> None:
    """Listeners never leave by themselves: the server would wait for them in vain."""
    app[SERVICES].listeners.end.set()


@asynccontextmanager
async def _database(settings: StorageSettings) -> AsyncIterator[Database | None]:
    if not settings.url:
        yield None
        return
    async with connected(settings.url, deadline=settings.timeout) as client:
        yield Database(client, settings.prefix, deadline=settings.timeout)
