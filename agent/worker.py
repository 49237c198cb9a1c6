"""The worker: registers at LiveKit under its agent name and accepts jobs."""

import asyncio
import gc
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from weakref import WeakSet

from livekit.agents import AgentServer, JobContext, JobExecutorType, get_job_context
from livekit.agents.ipc.job_executor import JobExecutor
from livekit.agents.version import __version__ as sdk_version
from livekit.rtc._ffi_client import FfiClient

from agent.agents_file import publishing
from agent.call import finish_call, run_call
from agent.health import health_endpoint
from agent.heartbeat import heartbeats
from agent.idle import IdleProcesses
from agent.job_process import set_up_process
from agent.load import FULL, load_of
from agent.logs import configure_logs
from agent.measurements import measured_here, measured_in, measuring
from agent.metrics import WorkerMetrics
from agent.monitor import monitor_jobs
from agent.pipeline import DiagnosticPipeline, Pipeline
from agent.settings import WorkerSettings, read_settings
from agent.spool import Spool
from agent.systemd import notify_ready
from agent.tracing import close_traces

logger = logging.getLogger("agent.worker")

#: How long a process may take to warm up, in s. Only then does the worker register, so that no call
#: meets a cold one; the framework's own limit of 10 s would end processes on a busy machine.
WARM_UP_TIMEOUT = 60.0
#: How long the worker may lack a warm process before it counts as unable to take calls, in s.
COLD_LIMIT = 30.0
#: How long a worker that is to stop waits for its calls, in s: as long as a call may take. Whoever
#: stops it may set less.
DRAIN_TIMEOUT = 86_400
#: Tells the framework not to load the turn detector's model into the processes of jobs.
PRELOAD_LOCAL_INFERENCE = "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE"
#: Between two looks for what processes that ended have measured, in s.
GATHER_INTERVAL = 10.0
#: Between two looks at the idle processes, in s.
CHECK_INTERVAL = 0.5


class Worker(AgentServer):
    """A server that logs as the gateway does and monitors its jobs; `rtc_session` defines them."""

    def __init__(self, settings: WorkerSettings, pipeline: Pipeline) -> None:
        super().__init__(
            ws_url=settings.url,
            api_key=settings.api_key,
            api_secret=settings.api_secret,
            # Its own endpoint is healthy before a process is warm; health_endpoint() takes its
            # place, and this one listens where no probe asks.
            host="127.0.0.1",
            port=0,
            load_threshold=FULL,
            load_fnc=load_of(settings, self._calls),
            num_idle_processes=settings.idle_processes,
            initialize_process_timeout=WARM_UP_TIMEOUT,
            drain_timeout=DRAIN_TIMEOUT,
            job_executor_type=JobExecutorType[settings.jobs.upper()],
            setup_fnc=set_up_process,
            preload_modules=[*_imported_here(), *pipeline.imported_late],
        )
        self._settings = settings
        self._pipeline = pipeline
        self._launched: WeakSet[JobExecutor] = WeakSet()
        self._metrics = WorkerMetrics(self._gauges)
        self._idle = IdleProcesses(settings.idle_processes, settings.max_idle_processes)
        self._is_registered = False
        self._warm_at = -math.inf
        self._owned: list[asyncio.Task[None]] = []
        self.on("worker_started", self._on_started)
        self.on("worker_registered", self._on_registered)

    async def run(self, *, devmode: bool = False, unregistered: bool = False) -> None:
        """Accept jobs until the worker is closed. Raises RuntimeError: LiveKit never answered."""
        settings = self._settings
        # Here, because the framework's command line has just installed its own handler.
        configure_logs(settings.logging, settings.secrets, add_fields=_add_job)
        host, port = settings.http_host, settings.http_port
        with publishing(settings), heartbeats(), measuring() as self._measurements:
            if not self._pipeline.has_turn_model():
                os.environ[PRELOAD_LOCAL_INFERENCE] = "0"
            if settings.jobs == "thread":
                _make_ffi_client()
            async with health_endpoint(host, port, self.problem, self._facts, self._numbers):
                await super().run(devmode=devmode, unregistered=unregistered)
        close_traces()  # of calls in threads

    def problem(self) -> str:
        """Why the worker can take no call now; "" if it can."""
        if not self._is_registered or self._connecting or self._connection_failed:
            return "not registered at LiveKit"
        if self.draining:
            return "stopping"
        if time.monotonic() - self._warm_at > COLD_LIMIT:
            return "no process is warm"
        return ""

    def _facts(self) -> Mapping[str, object]:
        """As the framework's own endpoint has them, and what only this worker knows.

        `doctor` reads them (gateway/tools/doctor/agents.py).
        """
        is_running = hasattr(self, "_proc_pool")
        return {
            "agent_name": self._settings.agent_name,
            "max_calls": self._settings.max_calls,
            "active_jobs": len(self.active_jobs) if is_running else 0,
            "idle_processes": self._proc_pool._warmed_proc_queue.qsize() if is_running else 0,
            "sdk_version": sdk_version,
            **self._pipeline.facts(),
        }

    def _numbers(self) -> bytes:
        self._metrics.measured.add([*measured_in(self._measurements), *measured_here()])
        return self._metrics.page()

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        facts = self._facts()
        yield "available", "1 if a call would find a warm process", not self.problem()
        yield "active_jobs", "Calls that it has now", int(str(facts["active_jobs"]))
        yield "idle_processes", "Processes that wait for calls", int(str(facts["idle_processes"]))
        yield "max_calls", "AGENT_MAX_CALLS; 0: the CPU decides", self._settings.max_calls
        stored = Spool(self._settings.spool).count()
        yield "reports_waiting", "Reports that the gateway has not accepted yet", stored

    def _get_effective_load(self) -> float:
        """With calls that were accepted and have not begun yet.

        The framework guesses what each of them takes: with two idle processes and no call it would
        refuse the third of three calls at once.
        """
        if not self._settings.max_calls:
            return super()._get_effective_load()
        return load_of(self._settings, self._calls)(self)

    def _calls(self) -> int:
        """Those that have begun, and those that were accepted; none is counted as both."""
        begun = sum(1 for executor in self._proc_pool.processes if executor in self._launched)
        return begun + self._reserved_slots

    def _on_started(self) -> None:
        # The attribute owns the tasks: asyncio itself keeps only weak references.
        self._proc_pool.on("process_job_launched", self._on_launched)
        for name, work in (
            ("monitor", monitor_jobs(self, self._settings, self._metrics)),
            ("measurements", self._gather_measurements()),
            ("idle processes", self._keep_idle()),
            ("pipeline", self._pipeline.watch()),
        ):
            task = asyncio.create_task(work, name=name)
            task.add_done_callback(_log_crash)
            self._owned.append(task)

    def _on_registered(self, *_: object) -> None:
        self._is_registered = True

    def _on_launched(self, executor: JobExecutor) -> None:
        self._launched.add(executor)
        self._idle.call_came(time.monotonic())
        self._set_idle()

    def _set_idle(self) -> None:
        """The framework takes its own number as the most; it lowers the target under load."""
        wanted, pool = self._idle.wanted(time.monotonic()), self._proc_pool
        if wanted != pool._default_num_idle_processes:
            self._num_idle_processes = pool._default_num_idle_processes = wanted
            pool.set_target_idle_processes(wanted)

    async def _gather_measurements(self) -> None:
        """Also where nobody asks for the numbers: the files would pile up."""
        while True:
            await asyncio.sleep(GATHER_INTERVAL)
            self._metrics.measured.add(measured_in(self._measurements))

    async def _keep_idle(self) -> None:
        """Have as many idle processes as IdleProcesses wants; log once calls can come."""
        pool = self._proc_pool
        is_ready = False
        while True:
            # While the CPU is busy the framework wants none: the worker is full, and well.
            if not pool._warmed_proc_queue.empty() or pool.target_idle_processes == 0:
                self._warm_at = time.monotonic()
            self._set_idle()
            if not is_ready and not self.problem():
                is_ready = True
                logger.info("worker.ready", extra={"agent_name": self._settings.agent_name})
                notify_ready()
            await asyncio.sleep(CHECK_INTERVAL)


def _make_ffi_client() -> None:
    """It is made by whoever uses it first, without a lock (livekit 1.1.21).

    Of two calls that begin at once in threads each would make one, and the first would never hear
    of its room.
    """
    _ = FfiClient.instance


def _imported_here() -> list[str]:
    """Our own modules; the processes of jobs inherit them, and share their memory."""
    return [
        name for name in sys.modules if name.startswith(("agent.", "common.")) and name != __name__
    ]


def _add_job(record: logging.LogRecord) -> bool:
    """Of a job in a thread of this process; records from other processes come with theirs."""
    context = get_job_context(required=False)
    if context and not hasattr(record, "job_id"):
        record.job_id, record.room = context.job.id, context.job.room.name
    return True


def _log_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("background_task.crashed", exc_info=error, extra={"task": task.get_name()})


# The framework looks for the server, and a job's process for its entry point, in this module.
settings = read_settings()
pipeline: Pipeline
if settings.pipeline == "voice":
    # Imported only here, for it takes memory in every process.
    from agent.voice.pipeline import VoicePipeline

    pipeline = VoicePipeline(settings)
else:
    pipeline = DiagnosticPipeline()
server = Worker(settings, pipeline)


@server.rtc_session(agent_name=settings.agent_name, on_session_end=finish_call)
async def take_call(ctx: JobContext) -> None:
    await run_call(ctx, settings, pipeline.new_conversation)


# All that exists now stays. `python -m agent` has disabled the collection for the time of loading.
gc.freeze()
gc.enable()
