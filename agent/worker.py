"""The worker: registers at LiveKit under its agent name and accepts jobs."""

import asyncio
import logging
import math

from livekit.agents import AgentServer, JobContext

from agent.call import run_call
from agent.diagnostic import converse
from agent.logs import configure_logs
from agent.monitor import monitor_jobs
from agent.settings import WorkerSettings, read_settings

logger = logging.getLogger("agent.worker")


class Worker(AgentServer):
    """A server that logs as the gateway does and monitors its jobs; `rtc_session` defines them."""

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(
            host=settings.http_host,
            port=settings.http_port,
            load_threshold=settings.load_threshold,
            # LiveKit sends no jobs to a worker that reports load: without a threshold it reports 0.
            load_fnc=_no_load if math.isinf(settings.load_threshold) else None,
            num_idle_processes=settings.idle_processes,
        )
        self._settings = settings
        self.on("worker_started", self._on_started)
        self.on("worker_registered", self._on_registered)

    async def run(self, *, devmode: bool = False, unregistered: bool = False) -> None:
        """Accept jobs until the worker is closed. Raises RuntimeError: LiveKit never answered."""
        # Here, because the framework's command line has just installed its own handler.
        configure_logs(self._settings.logging, self._settings.secrets)
        await super().run(devmode=devmode, unregistered=unregistered)

    def _on_started(self) -> None:
        # The attribute owns the task: asyncio itself keeps only a weak reference.
        self._monitoring = asyncio.create_task(monitor_jobs(self, self._settings), name="monitor")
        self._monitoring.add_done_callback(_log_crash)

    def _on_registered(self, *_: object) -> None:
        logger.info("worker.ready", extra={"agent_name": self._settings.agent_name})


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("background_task.crashed", exc_info=error, extra={"task": task.get_name()})


def _no_load() -> float:
    return 0.0


# The framework looks for the server, and a job's process for its entry point, in this module.
settings = read_settings()
server = Worker(settings)


@server.rtc_session(agent_name=settings.agent_name)
async def take_call(ctx: JobContext) -> None:
    await run_call(ctx, settings, converse)
