"""The process: listens, drains on the first signal, ends at once on the second."""

import asyncio
import errno
import gc
import signal

import structlog
from aiohttp import web

from gateway.api.connections import Connections
from gateway.api.services import SERVICES, Services
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
#: Active calls are long-lived objects: to look for garbage among them less often saves a few
#: percent of each hook.
GC_THRESHOLDS = (20_000, 20, 20)
#: Connections that may wait to be accepted: many come at once when another gateway stops.
BACKLOG = 1024


async def serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM. Raises ConfigError for what only the operator can change.

    After the signal /readyz answers 503, and requests are accepted for `server.drain_delay`;
    running ones have `server.finish_timeout`, callbacks `callbacks.flush_timeout`.
    """
    if problems := startup_problems(config):
        raise ConfigError(problems)
    app = create_app(config)
    _collect_garbage_rarely()
    # aiohttp 3.14 waits twice this time, see RequestHandler.shutdown.
    runner = web.AppRunner(app, shutdown_timeout=config.server.finish_timeout / 2)
    stop = _stop_signal()
    await runner.setup()
    try:
        services = app[SERVICES]
        await _check_livekit(services)
        await _check_storage(services)
        if services.history:
            await services.history.tried(within=config.history.timeout)
        await services.deadline_loop.reconcile()
        server = await _listen(runner, services)
        try:
            await stop.wait()
            services.draining.set()
            log.info("gateway.draining", seconds=config.server.drain_delay)
            await asyncio.sleep(config.server.drain_delay)
        finally:
            server.close()
    finally:
        await runner.cleanup()
        log.info("gateway.stopped")


def _collect_garbage_rarely() -> None:
    """And never among what exists now, for all of that stays."""
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()
    gc.enable()


def startup_problems(config: Config) -> list[str]:
    """Everything in the settings that keeps `serve` from starting; empty if nothing does."""
    problems = validate_for_serve(config)
    if config.storage.url and (problem := url_problem(config.storage.url)):
        problems.append(f"REDIS_URL (storage.url) {problem}")
    return problems


def _stop_signal() -> asyncio.Event:
    """An event that the first signal sets; the second has its default action: the process ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_first() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_first)
    return stop


async def _check_livekit(services: Services) -> None:
    """A wrong key is an error; a LiveKit that does not answer may start later, see /readyz."""
    url = services.config.livekit.url
    try:
        await services.livekit.ping()
    except LiveKitRefused as error:
        if error.status not in {401, 403}:
            raise
        # livekit-api drops the text with which LiveKit refuses a token.
        problem = (
            f"LiveKit at {url} does not accept LIVEKIT_API_KEY with LIVEKIT_API_SECRET: set both "
            "to a key of that project or server; python -m gateway doctor tells which one is wrong"
        )
        raise ConfigError([problem]) from error
    except LiveKitUnreachable as error:
        log.warning("livekit.unavailable", url=url, error=str(error))


async def _check_storage(services: Services) -> None:
    """As with LiveKit: wrong credentials are an error, a Redis that does not answer is none."""
    try:
        await services.storage.probe()
        await services.storage.leader.acquire()  # or take over the leader's time
    except StorageRefused as error:
        raise ConfigError(
            [f"{error}: check user and password in REDIS_URL, and what Redis permits that user"]
        ) from error
    except StorageUnavailable as error:
        log.warning("storage.unavailable", error=str(error))


async def _listen(runner: web.AppRunner, services: Services) -> asyncio.Server:
    config = services.config
    host, port = config.listen_host, config.server.port
    assert runner.server  # noqa: S101 - runner.setup() has set it
    connections = Connections(runner.server, config.limits, services.limits)
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(connections, host, port, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            problem = f"port {port} on {host} is taken: stop what listens there, or set PORT"
        else:
            problem = f"cannot listen on {host}:{port}: {error.strerror}"
        raise ConfigError([problem]) from error
    log.info("gateway.listening", host=host, port=server.sockets[0].getsockname()[1])
    if config.unauthenticated_endpoints:
        log.warning(
            "security.unauthenticated",
            missing=list(config.unauthenticated_endpoints),
            effect="these endpoints are open to everyone"
            if config.security.allow_unauthenticated
            else "the gateway listens on loopback only",
        )
    return server
