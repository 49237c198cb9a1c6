"""The worker's own reports: jobs that have ended or are silent, and what jobs could not report.

LiveKit itself takes some 20 s to notice a dead process, and never notices one that stands still.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from livekit.agents import AgentServer
from livekit.agents.ipc.job_executor import JobExecutor
from livekit.protocol.agent import Job

from agent.context import read_context
from agent.heartbeat import forget_beat, read_beat
from agent.metrics import WorkerMetrics
from agent.report import FAILURES, Reporter, ReportEvent, describe
from agent.settings import WorkerSettings
from agent.silences import JobSilences, Silence
from agent.spool import Spool
from agent.voice.retention import delete_old_recordings

logger = logging.getLogger("agent.monitor")

#: Between two checks of the jobs' processes, in s.
CHECK_INTERVAL = 0.1
#: Between two attempts to deliver stored reports, in s.
SPOOL_INTERVAL = 5.0


async def monitor_jobs(
    server: AgentServer, settings: WorkerSettings, metrics: WorkerMetrics
) -> None:
    """Report each job whose process has ended; runs as long as the worker."""
    pool = server._proc_pool
    running: dict[str, _RunningJob] = {}

    # The list of processes alone would miss a job that ends between two checks.
    @pool.on("process_job_launched")
    def launched(executor: JobExecutor) -> None:
        if executor.running_job:
            job = executor.running_job.job
            metrics.jobs.inc()
            running[job.id] = _RunningJob(job, executor)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_deliver_stored(settings))
        tasks.create_task(delete_old_recordings(settings))
        while True:
            for it in list(running.values()):
                if silence := it.silence():
                    if it.silences.is_silent:
                        metrics.silent(silence.why)
                    tasks.create_task(_report_silence(it.job, silence, settings))
                if not (it.executor in pool.processes and it.is_running()):
                    del running[it.job.id]
                    forget_beat(it.job.id)
                    logger.info(
                        "job.process_ended", extra={"job_id": it.job.id, "room": it.job.room.name}
                    )
                    tasks.create_task(_report(it.job, settings))
            await asyncio.sleep(CHECK_INTERVAL)


@dataclass
class _RunningJob:
    job: Job
    executor: JobExecutor
    silences: JobSilences = field(default_factory=JobSilences)

    def silence(self) -> Silence | None:
        """What is to be reported of a silence of the agent."""
        return self.silences.look(read_beat(self.job.id), time.monotonic())

    def is_running(self) -> bool:
        """Whether its process runs; a job without a process of its own runs in the worker's.

        The framework drops a process only once its log has been read to the end
        (livekit-agents 1.8.9).
        """
        pid = getattr(self.executor, "pid", None)
        if pid is None:
            return True
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True


async def _report(
    job: Job,
    settings: WorkerSettings,
    event: ReportEvent = "agent_gone",
    detail: str = "its process has ended",
    silence: Mapping[str, int] | None = None,
) -> None:
    url = read_context(job.metadata).report_url
    reporter = Reporter(url, job_id=job.id, settings=settings)
    try:
        await reporter.report(event, detail, silence=silence)
    except Exception:
        # The other jobs still have to be monitored.
        logger.exception("report.failed", extra={"job_id": job.id})


async def _report_silence(job: Job, silence: Silence, settings: WorkerSettings) -> None:
    began = time.time() - (time.monotonic() - silence.since)
    logger.warning(
        "agent.silent",
        extra={"job_id": job.id, "room": job.room.name, "seconds": round(silence.duration, 1)},
    )
    times = {"at": round(began * 1000), "duration_ms": round(silence.duration * 1000)}
    await _report(job, settings, "agent_silent", silence.why, times)


async def _deliver_stored(settings: WorkerSettings) -> None:
    """Deliver what jobs could not, until the gateway accepts or refuses it."""
    while True:
        try:
            await _deliver_once(settings)
        except Exception:
            # Jobs still have to be monitored, and other reports to be delivered.
            logger.exception("report.delivery_failed")
        await asyncio.sleep(SPOOL_INTERVAL)


async def _deliver_once(settings: WorkerSettings) -> None:
    for report in Spool(settings.spool).stored():
        try:
            await Reporter(report.url, job_id="", settings=settings).post(report.body)
        except FAILURES as error:
            if not _is_final(error):
                logger.info("report.not_accepted", extra={"error": describe(error)})
                continue
            logger.error("report.refused", extra={"error": describe(error)})
        report.delete()


def _is_final(error: Exception) -> bool:
    """Whether the gateway has read the report and refused it."""
    return isinstance(error, aiohttp.ClientResponseError) and 400 <= error.status < 500
