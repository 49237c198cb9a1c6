"""The aiohttp application: routes, middlewares, and what starts and stops with it."""

from collections.abc import AsyncIterator
from functools import partial

import aiohttp_jinja2
from aiohttp import web

from gateway.aio import BackgroundTasks, run_forever
from gateway.api.connections import header_limit
from gateway.api.errors import errors_to_responses
from gateway.api.loopback import loopback_only
from gateway.api.measuring import measure_requests
from gateway.api.routes import ENDPOINTS
from gateway.api.services import SERVICES
from gateway.callbacks.sender import Sender
from gateway.clock import Clock
from gateway.config.settings import Config
from gateway.history.database import open_history
from gateway.lifecycle.call_metrics import new_metrics
from gateway.lifecycle.deadlines import Deadlines
from gateway.livekit.client import LiveKit
from gateway.storage.stores import open_storage
from gateway.telemetry import tracing
from gateway.telemetry.traced_http import trace_requests
from gateway.web.live import LIVE, LiveUpdates
from gateway.web.routes import PAGES
from gateway.web.templates import set_up_templates
from gateway.wiring import build_services, new_outbound_id


def create_app(config: Config) -> web.Application:
    """The gateway as an aiohttp application; it opens nothing before it is started."""
    app = web.Application(
        middlewares=[
            header_limit(config.limits),
            *([trace_requests] if tracing.is_on() else []),
            measure_requests,
            errors_to_responses,
            *([loopback_only] if config.is_loopback_only else []),
        ],
        client_max_size=config.limits.max_body_bytes,
    )
    app.add_routes([endpoint.route for endpoint in (*ENDPOINTS, *PAGES)])
    set_up_templates(app)
    app.cleanup_ctx.append(lambda app: _services(app, config))
    app.cleanup_ctx.append(_background)
    app.on_shutdown.append(_end_connections)
    return app


async def _services(app: web.Application, config: Config) -> AsyncIterator[None]:
    settings, limits, clock, metrics = config.livekit, config.limits, Clock(), new_metrics()
    credentials = settings.url, settings.api_key, settings.api_secret
    connected = partial(LiveKit.connected, *credentials, timeout=settings.timeout)
    async with (
        connected(
            connections=settings.connections,
            slow_connections=limits.max_active_calls,
            observe=metrics.livekit.observe,
        ) as livekit,
        connected(connections=1, slow_connections=1) as probe,
        Sender.open(config.callbacks) as sender,
        open_storage(
            config,
            sender,
            deadline=Deadlines(config).next,
            new_call_id=new_outbound_id,
            clock=clock,
            metrics=metrics,
        ) as storage,
        open_history(config.history) as database,
    ):
        services = build_services(
            config,
            livekit,
            storage,
            check_callback_url=sender.check,
            probe=probe,
            clock=clock,
            metrics=metrics,
            database=database,
        )
        app[SERVICES] = services
        app[LIVE] = live = LiveUpdates(services, aiohttp_jinja2.get_env(app))
        yield
        await live.close()
        await services.close()


async def _background(app: web.Application) -> AsyncIterator[None]:
    services, tasks = app[SERVICES], BackgroundTasks()
    history = [services.history.run] if services.history else []
    for run in (services.deadline_loop.run, *services.storage.background, *history):
        tasks.spawn(run_forever(run), name=run.__qualname__)
    yield
    await tasks.close()


async def _end_connections(app: web.Application) -> None:
    """Listeners and WebSockets never leave by themselves: the server would wait in vain."""
    app[SERVICES].stopping.set()
