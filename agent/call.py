"""One job, one call: joins the room, holds a conversation, tells the gateway how it went."""

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

#: How long LiveKit may take to delete a room, in s; its client would wait for ever.
DELETE_LIMIT = 5.0

#: Talks in a room until the call is over and returns why; see `agent.diagnostic.converse`.
Conversation = Callable[
    [rtc.Room, CallContext, Record, Callable[[], Coroutine[Any, Any, None]]], Awaitable[str]
]


async def run_call(ctx: JobContext, settings: WorkerSettings, converse: Conversation) -> None:
    """However it goes, the gateway hears of it and the caller is not left in silence."""
    logger.info("job received", extra={"job_id": ctx.job.id, "agent_name": ctx.job.agent_name})
    logger.info("Room name: %s", ctx.job.room.name)
    call = read_context(ctx.job.metadata)
    reporter = Reporter(call.report_url, job_id=ctx.job.id, settings=settings)
    record = Record()
    try:
        await join(ctx)
        reason = await converse(ctx.room, call, record, lambda: reporter.tell("agent_ready"))
    except RoomEnded:
        reason = ROOM_ENDED
    except Exception as error:
        logger.exception("the call failed")
        why = f"{type(error).__name__}: {error}"
        record.errors.append(why)
        await reporter.tell("agent_failed", why, record.report())
        # Also without the gateway's help the caller is let go rather than left in silence.
        await _let_go(ctx)
        raise
    await reporter.tell("agent_ended", reason, record.report())
    ctx.shutdown(reason)


async def _let_go(ctx: JobContext) -> None:
    """End the room. Without an answer that is left to the gateway, which deletes it too."""
    try:
        async with asyncio.timeout(DELETE_LIMIT):
            await ctx.delete_room()
    except TimeoutError:
        logger.warning("the room could not be deleted in time")
