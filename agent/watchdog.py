"""What the worker tells the gateway: of jobs whose process is gone, and what jobs could not.

LiveKit itself takes some 20 s to notice a dead process.
"""

import asyncio
import logging
import os

import aiohttp
from livekit.agents import AgentServer
from livekit.agents.ipc.job_executor import JobExecutor
from livekit.protocol.agent import Job

from agent.context import read_context
from agent.report import FAILURES, Reporter
from agent.settings import WorkerSettings
from agent.spool import Spool

logger = logging.getLogger("agent.watchdog")

#: Between two looks at the jobs there are, in s.
INTERVAL = 0.1
#: Between two tries to deliver what jobs could not, in s.
SPOOL_INTERVAL = 5.0


async def watch_jobs(server: AgentServer, settings: WorkerSettings) -> None:
    """Report each job that is no longer there, however it ended; runs as long as the worker."""
    pool = server._proc_pool
    running: dict[str, tuple[Job, JobExecutor]] = {}

    # Looking from time to time who is there would miss a job that dies while the worker is busy.
    @pool.on("process_job_launched")
    def launched(executor: JobExecutor) -> None:
        if executor.running_job:
            job = executor.running_job.job
            running[job.id] = job, executor

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_deliver_spooled(settings))
        while True:
            for job, executor in list(running.values()):
                if not (executor in pool.processes and _is_there(getattr(executor, "pid", None))):
                    del running[job.id]
                    logger.info("job is gone", extra={"job_id": job.id, "room": job.room.name})
                    tasks.create_task(_report(job, settings))
            await asyncio.sleep(INTERVAL)


def _is_there(pid: int | None) -> bool:
    """Whether the process is; a job without one of its own runs in ours.

    The framework itself drops it only once its log has been read to the end (livekit-agents 1.8.9).
    """
    if pid is None:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _report(job: Job, settings: WorkerSettings) -> None:
    url = read_context(job.metadata).report_url
    reporter = Reporter(url, job_id=job.id, settings=settings)
    try:
        await reporter.tell("agent_gone", "its process has ended")
    except Exception:
        # One job's report is no reason to lose sight of the others.
        logger.exception("report failed", extra={"job_id": job.id})


async def _deliver_spooled(settings: WorkerSettings) -> None:
    """Deliver what jobs could not, until it is accepted or no longer worth it."""
    spool = Spool(settings.spool)
    while True:
        for waiting in spool.waiting():
            try:
                await Reporter(waiting.url, job_id="", settings=settings).post(waiting.body)
            except FAILURES as error:
                if not _is_final(error):
                    logger.info("report still waits", extra={"error": repr(error)})
                    continue
                logger.error("report is refused", extra={"error": repr(error)})
            waiting.done()
        await asyncio.sleep(SPOOL_INTERVAL)


def _is_final(error: Exception) -> bool:
    """Whether the gateway looked at the report and will not have it."""
    return isinstance(error, aiohttp.ClientResponseError) and 400 <= error.status < 500
