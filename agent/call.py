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
from agent.room import ROOM_ENDED, RoomEnded, answered_caller, has_company, join
from agent.settings import WorkerSettings
from agent.stalls import Stalls

logger = logging.getLogger("agent.call")

#: How long LiveKit may take to delete a room, in s; its client has no timeout.
DELETE_TIMEOUT = 5.0
#: How long the gateway has to accept the report of a failure before the room is deleted, in s.
REPORT_HEAD_START = 0.5

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
    stalls = Stalls(record)
    tasks = [asyncio.create_task(stalls.watch())]
    try:
        await join(ctx)
        tasks.append(asyncio.create_task(_report_answer(ctx.room, call, reporter)))
        reason = await converse(ctx.room, call, record, lambda: reporter.report("agent_ready"))
    except RoomEnded:
        reason = ROOM_ENDED
    except Exception as error:
        logger.exception("call.failed")
        reason = _in_words(error)
        stalls.check()
        record.errors.append(reason)
        await _end_failed(ctx, call, reporter.report("agent_failed", reason, record.report()))
        raise
    finally:
        for task in tasks:
            task.cancel()
    stalls.check()
    await reporter.report("agent_ended", reason, record.report())
    ctx.shutdown(reason)


async def _report_answer(room: rtc.Room, call: CallContext, reporter: Reporter) -> None:
    """Report that the caller's leg is answered: the hook that says so may be lost."""
    await answered_caller(room, call)
    await reporter.report("answered")


async def _end_failed(
    ctx: JobContext, call: CallContext, report: Coroutine[Any, Any, None]
) -> None:
    """Delete the room at once: the caller is not left in silence while the gateway is away.

    A gateway that answers gets the report first, and knows why the room ends. A caller who talks to
    somebody else, too, is not cut off.
    """
    reporting = asyncio.create_task(report)
    await asyncio.wait({reporting}, timeout=REPORT_HEAD_START)
    if not has_company(ctx.room, call):
        await _delete_room(ctx)
    await reporting


def _in_words(error: Exception) -> str:
    """The error's type and text; of a group with one error that error's."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def _delete_room(ctx: JobContext) -> None:
    """End the call. If LiveKit does not answer, the gateway still deletes the room."""
    try:
        async with asyncio.timeout(DELETE_TIMEOUT):
            await ctx.delete_room()
    except TimeoutError:
        logger.warning("room.delete_failed", extra={"error": f"no answer in {DELETE_TIMEOUT:g} s"})
