"""A worker whose conversation fails: it raises an exception, or its process dies."""

import os
import signal

from livekit.agents import JobContext

from agent.call import finish_call, run_call
from agent.conversation import OnReady
from agent.diagnostic import Diagnostic
from agent.ending import Ending
from agent.pipeline import DiagnosticPipeline
from agent.room import answered_caller
from agent.settings import read_settings
from agent.worker import Worker

settings = read_settings()
server = Worker(settings, DiagnosticPipeline())


class Failing(Diagnostic):
    async def talk(self, on_ready: OnReady) -> Ending:
        await on_ready()
        caller = await answered_caller(self.job.room, self.call)
        if caller.identity == "sip_crash":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("no more words")


@server.rtc_session(agent_name=settings.agent_name, on_session_end=finish_call)
async def take_call(ctx: JobContext) -> None:
    await run_call(ctx, settings, Failing)
