"""One job, one call: joins the room, holds the conversation, reports to the gateway."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from livekit import rtc
from livekit.agents import JobContext

from agent.context import CallContext, read_context
from agent.record import Record
from agent.report import Reporter
from agent.room import ROOM_ENDED, RoomEnded, join
from agent.settings import WorkerSettings

logger = logging.getLogger("agent.call")

#: How long LiveKit may take to delete a room, in s; its client has no timeout.
DELETE_TIMEOUT = 5.0

#: Talks in a room until the call is over and returns why; see `agent.diagnostic.converse`.
Conversation = Callable[
    [rtc.Room, CallContext, Record, Callable[[], Coroutine[Any, Any, None]]], Awaitable[str]
]


async def run_call(ctx: JobContext, settings: WorkerSettings, converse: Conversation) -> None:
    """Whatever fails, the gateway gets a report and the caller is not left in silence."""
    # Texts that operators know to look for, see docs/migration.md.
    logger.info("job received", extra={"agent_name": ctx.job.agent_name})
    logger.info("Room name: %s", ctx.job.room.name)
    call = read_context(ctx.job.metadata)
    reporter = Reporter(call.report_url, job_id=ctx.job.id, settings=settings)
    record = Record()
    try:
        await join(ctx)
        reason = await converse(ctx.room, call, record, lambda: reporter.report("agent_ready"))
    except RoomEnded:
        reason = ROOM_ENDED
    except Exception as error:
        logger.exception("call.failed")
        reason = f"{type(error).__name__}: {error}"
        record.errors.append(reason)
        await reporter.report("agent_failed", reason, record.report())
        # The gateway ends the call too; without it the caller would be left in silence.
        await _delete_room(ctx)
        raise
    await reporter.report("agent_ended", reason, record.report())
    ctx.shutdown(reason)


async def _delete_room(ctx: JobContext) -> None:
    """End the call. If LiveKit does not answer, the gateway still deletes the room."""
    try:
        async with asyncio.timeout(DELETE_TIMEOUT):
            await ctx.delete_room()
    except TimeoutError:
        logger.warning("room.delete_failed", extra={"error": f"no answer in {DELETE_TIMEOUT:g} s"})
