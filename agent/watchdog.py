"""Jobs whose process is gone, told to the gateway: LiveKit itself takes some 20 s to notice one."""

import asyncio
import logging
from collections.abc import Mapping

from livekit.agents import AgentServer
from livekit.protocol.agent import Job

from agent.context import read_context
from agent.report import Reporter
from agent.settings import WorkerSettings

logger = logging.getLogger("agent.watchdog")

#: Between two looks at the jobs there are, in s: often enough to have seen one that dies early.
INTERVAL = 0.1


async def watch_jobs(server: AgentServer, settings: WorkerSettings) -> None:
    """Report each job that is no longer there, however it ended; runs as long as the worker."""
    before: Mapping[str, Job] = {}
    async with asyncio.TaskGroup() as reports:
        while True:
            now = {info.job.id: info.job for info in server.active_jobs}
            for job_id in before.keys() - now.keys():
                job = before[job_id]
                logger.info("job is gone", extra={"job_id": job_id, "room": job.room.name})
                reports.create_task(_report(job, settings))
            before = now
            await asyncio.sleep(INTERVAL)


async def _report(job: Job, settings: WorkerSettings) -> None:
    url = read_context(job.metadata).report_url
    reporter = Reporter(
        url, job_id=job.id, api_key=settings.api_key, api_secret=settings.api_secret
    )
    await reporter.tell("agent_gone", "its process has ended")
