"""The gateway as a process: listens, says so, drains on the first signal, is gone on the next."""

import asyncio
import errno
import gc
import signal

import structlog
from aiohttp import web

from gateway.api.connections import Connections
from gateway.api.keys import DEADLINE_LOOP, HEALTH, LIVEKIT, REGISTRY
from gateway.api.limits import LIMITS
from gateway.app import create_app
from gateway.config.settings import Config
from gateway.config.validation import validate_for_serve
from gateway.errors import (
    ConfigError,
    LiveKitRefused,
    LiveKitUnreachable,
    StorageRefused,
    StorageUnavailable,
)
from gateway.storage.redis.connect import url_problem

log = structlog.get_logger()

SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Registered calls live long: looking at them less often saves a few percent of each call hook.
GC_THRESHOLDS = (20_000, 20, 20)
#: Connections that may wait to be accepted: many come at once when another gateway goes.
BACKLOG = 1024


async def serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM. Raises ConfigError for what only the operator can mend.

    Then /readyz says 503, requests are taken for `server.drain_delay`, running ones finished within
    `server.finish_timeout`, callbacks within `callbacks.flush_timeout`.
    """
    problems = validate_for_serve(config)
    if config.storage.url and (wrong := url_problem(config.storage.url)):
        problems.append(f"REDIS_URL (storage.url) {wrong}")
    if problems:
        raise ConfigError(problems)
    gc.set_threshold(*GC_THRESHOLDS)
    app = create_app(config)
    # aiohttp 3.14 waits twice as long as it is told, see RequestHandler.shutdown.
    runner = web.AppRunner(app, shutdown_timeout=config.server.finish_timeout / 2)
    stop = _on_signals()
    await runner.setup()
    try:
        await _check_livekit(app, config)
        await _check_registry(app)
        await app[DEADLINE_LOOP].reconcile()
        server = await _listen(runner, config)
        try:
            await stop.wait()
            app[HEALTH].draining = True
            log.info("gateway.draining", seconds=config.server.drain_delay)
            await asyncio.sleep(config.server.drain_delay)
        finally:
            server.close()
    finally:
        await runner.cleanup()
        log.info("gateway.stopped")


def _on_signals() -> asyncio.Event:
    """Set by the first signal; the next one is the system's to handle, and ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def first() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, first)
    return stop


async def _check_livekit(app: web.Application, config: Config) -> None:
    """A wrong key will not mend itself; a LiveKit that is away may come, /readyz tells when."""
    try:
        await app[LIVEKIT].ping()
    except LiveKitRefused as error:
        if error.status not in {401, 403}:
            raise
        raise ConfigError(
            [
                f"LiveKit at {config.livekit.url} does not accept LIVEKIT_API_KEY and "
                f"LIVEKIT_API_SECRET: {error.message}"
            ]
        ) from error
    except LiveKitUnreachable as error:
        log.warning("livekit.unavailable", url=config.livekit.url, error=str(error))


async def _check_registry(app: web.Application) -> None:
    """As with LiveKit: a wrong password will not mend itself, a Redis that is away may come."""
    try:
        await app[REGISTRY].count_active()
    except StorageRefused as error:
        raise ConfigError(
            [f"{error}: check user and password in REDIS_URL, and what Redis lets that user do"]
        ) from error
    except StorageUnavailable as error:
        log.warning("storage.unavailable", error=str(error))


async def _listen(runner: web.AppRunner, config: Config) -> asyncio.Server:
    host, port = config.listen_host, config.server.port
    assert runner.server  # noqa: S101 - set up above
    connections = Connections(runner.server, config.limits, runner.app[LIMITS])
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(connections, host, port, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                [f"port {port} on {host} is taken: stop what listens there, or set PORT"]
            ) from error
        raise ConfigError([f"cannot listen on {host}:{port}: {error.strerror}"]) from error
    log.info("gateway.listening", host=host, port=server.sockets[0].getsockname()[1])
    if config.unauthenticated_endpoints:
        open_or_loopback = (
            "these doors are open to everybody"
            if config.security.allow_unauthenticated
            else "listening on loopback only"
        )
        log.warning(
            "security.unauthenticated",
            missing=list(config.unauthenticated_endpoints),
            therefore=open_or_loopback,
        )
    return server
