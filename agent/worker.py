"""The LiveKit worker: registers under its agent name and takes jobs. `python -m agent` runs it."""

import asyncio
import logging
import math

from livekit.agents import AgentServer, JobContext

from agent.call import run_call
from agent.diagnostic import converse
from agent.settings import WorkerSettings, read_settings
from agent.watchdog import watch_jobs

logger = logging.getLogger("agent.worker")


def make_server(settings: WorkerSettings) -> AgentServer:
    """A server that says when LiveKit knows it; what it does with jobs is for `rtc_session`."""
    server = AgentServer(
        host=settings.http_host,
        port=settings.http_port,
        load_threshold=settings.load_threshold,
        # LiveKit passes by a worker that says it is busy: one that takes every job never does.
        load_fnc=_no_load if math.isinf(settings.load_threshold) else None,
        num_idle_processes=settings.idle_processes,
    )

    background: set[asyncio.Task[None]] = set()

    @server.on("worker_started")
    def started(*_: object) -> None:
        task = asyncio.create_task(watch_jobs(server, settings), name="watch jobs")
        background.add(task)
        task.add_done_callback(_watch_ended)

    @server.on("worker_registered")
    def registered(*_: object) -> None:
        logger.info("worker ready for calls", extra={"agent_name": settings.agent_name})

    return server


def _watch_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("jobs are no longer watched", exc_info=error)


def _no_load() -> float:
    return 0.0


# The framework looks for the server, and job processes for the entry point, in a module.
settings = read_settings()
server = make_server(settings)


@server.rtc_session(agent_name=settings.agent_name)
async def take_call(ctx: JobContext) -> None:
    await run_call(ctx, settings, converse)
