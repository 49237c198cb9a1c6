"""The worker: registers at LiveKit under its agent name and accepts jobs."""

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
    """A server that watches its jobs and logs `worker.ready`; `rtc_session` defines its jobs."""
    server = AgentServer(
        host=settings.http_host,
        port=settings.http_port,
        load_threshold=settings.load_threshold,
        # LiveKit sends no jobs to a worker that reports load: one without a threshold reports none.
        load_fnc=_no_load if math.isinf(settings.load_threshold) else None,
        num_idle_processes=settings.idle_processes,
    )

    watching: list[asyncio.Task[None]] = []

    @server.on("worker_started")
    def started(*_: object) -> None:
        task = asyncio.create_task(watch_jobs(server, settings), name="watch jobs")
        watching.append(task)  # asyncio itself keeps no strong reference
        task.add_done_callback(_log_crash)

    @server.on("worker_registered")
    def registered(*_: object) -> None:
        logger.info("worker.ready", extra={"agent_name": settings.agent_name})

    return server


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("background_task.crashed", exc_info=error, extra={"task": task.get_name()})


def _no_load() -> float:
    return 0.0


# The framework looks for the server, and a job's process for its entry point, in this module.
settings = read_settings()
server = make_server(settings)


@server.rtc_session(agent_name=settings.agent_name)
async def take_call(ctx: JobContext) -> None:
    await run_call(ctx, settings, converse)
