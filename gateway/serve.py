"""The gateway as a process: listens, says so, drains on the first signal, stops on the next."""

import asyncio
import contextlib
import errno
import gc
import signal

import structlog
from aiohttp import web

from gateway.app import create_app
from gateway.errors import ConfigError, LiveKitRefused, LiveKitUnreachable
from gateway.settings import Config, serving_problems
from gateway.web.keys import HEALTH, LIVEKIT, WATCH

log = structlog.get_logger()

#: Registered calls live long: looking at them less often saves a few percent of each call hook.
GC_THRESHOLDS = (20_000, 20, 20)


async def serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM. Raises ConfigError for what only the operator can mend."""
    problems = serving_problems(config)
    if problems:
        raise ConfigError(problems)
    gc.set_threshold(*GC_THRESHOLDS)
    app = create_app(config)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=config.livekit.deadline + 1)
    stop = _on_signals()
    await runner.setup()
    try:
        await _check_livekit(app, config)
        await app[WATCH].compare()
        await _listen(runner, config)
        await stop.wait()
        app[HEALTH].draining = True
        log.info("gateway.draining", seconds=config.server.drain_delay)
        stop.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), config.server.drain_delay)
    finally:
        await runner.cleanup()
        log.info("gateway.stopped")


def _on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
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
        log.warning("livekit.away", url=config.livekit.url, error=str(error))


async def _listen(runner: web.AppRunner, config: Config) -> None:
    host, port = config.listen_host, config.server.port
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                [f"port {port} on {host} is taken: stop what listens there, or set PORT"]
            ) from error
        raise ConfigError([f"cannot listen on {host}:{port}: {error.strerror}"]) from error
    log.info("gateway.listening", host=host, port=runner.addresses[0][1])
    if config.unproven:
        open_or_loopback = (
            "these doors are open to everybody"
            if config.security.allow_unauthenticated
            else "listening on loopback only"
        )
        log.warning("gateway.unproven", missing=list(config.unproven), therefore=open_or_loopback)
