"""The LiveKit worker: one job, one call. `python -m agent` runs it."""

import logging

from livekit.agents import AgentServer, AutoSubscribe, JobContext

from agent.context import read_context
from agent.diagnostic import converse
from agent.report import Reporter
from agent.settings import read_settings

logger = logging.getLogger("agent.worker")

settings = read_settings()
server = AgentServer(
    host=settings.http_host,
    port=settings.http_port,
    load_threshold=settings.load_threshold,
    num_idle_processes=settings.idle_processes,
)


@server.on("worker_registered")
def _registered(*_: object) -> None:
    logger.info("worker ready for calls", extra={"agent_name": settings.agent_name})


@server.rtc_session(agent_name=settings.agent_name)
async def take_call(ctx: JobContext) -> None:
    """One call. However it goes, the gateway hears of it and the caller is not left in silence."""
    logger.info("job received", extra={"job_id": ctx.job.id, "agent_name": ctx.job.agent_name})
    logger.info("Room name: %s", ctx.job.room.name)
    call = read_context(ctx.job.metadata)
    reporter = Reporter(
        call.report_url,
        job_id=ctx.job.id,
        api_key=settings.api_key,
        api_secret=settings.api_secret,
    )
    try:
        await ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
        reason = await converse(ctx.room, on_ready=lambda: reporter.tell("agent_ready"))
    except Exception as error:
        logger.exception("the call failed")
        await reporter.tell("agent_failed", f"{type(error).__name__}: {error}")
        # Also without the gateway's help the caller is let go rather than left in silence.
        await ctx.delete_room()
        raise
    await reporter.tell("agent_ended", reason)
    ctx.shutdown(reason)
