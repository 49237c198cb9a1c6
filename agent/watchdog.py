"""What the worker tells the gateway: of jobs whose process is gone, and what jobs could not.

LiveKit itself takes some 20 s to notice a dead process.
"""

import asyncio
import logging
import os
from collections.abc import Mapping

import aiohttp
from livekit.agents import AgentServer
from livekit.protocol.agent import Job

from agent.context import read_context
from agent.report import FAILURES, Reporter
from agent.settings import WorkerSettings
from agent.spool import Spool

logger = logging.getLogger("agent.watchdog")

#: Between two looks at the jobs there are, in s: often enough to have seen one that dies early.
INTERVAL = 0.1
#: Between two tries to deliver what jobs could not, in s.
SPOOL_INTERVAL = 5.0


async def watch_jobs(server: AgentServer, settings: WorkerSettings) -> None:
    """Report each job that is no longer there, however it ended; runs as long as the worker."""
    before: Mapping[str, Job] = {}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_deliver_spooled(settings))
        while True:
            now = _living_jobs(server)
            for job_id in before.keys() - now.keys():
                job = before[job_id]
                logger.info("job is gone", extra={"job_id": job_id, "room": job.room.name})
                tasks.create_task(_report(job, settings))
            before = now
            await asyncio.sleep(INTERVAL)


def _living_jobs(server: AgentServer) -> Mapping[str, Job]:
    """The jobs by id whose process is there.

    The framework's own list keeps a job whose process was killed for as long as a process that was
    started meanwhile holds the other end of its log open (livekit-agents 1.8.9).
    """
    executors = server._proc_pool.processes
    return {
        executor.running_job.job.id: executor.running_job.job
        for executor in executors
        if executor.running_job and _is_there(getattr(executor, "pid", None))
    }


def _is_there(pid: int | None) -> bool:
    """Whether the process is; a job without one of its own runs in ours."""
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
