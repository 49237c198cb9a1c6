"""One job, one call: joins the room, holds the conversation, reports to the gateway."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from livekit import rtc
from livekit.agents import JobContext
from opentelemetry.context import Context

from agent.context import CallContext, read_context
from agent.conversation import Conversation, NewConversation
from agent.ending import Ending
from agent.heartbeat import Heartbeat
from agent.packets import PacketCounter
from agent.record import Record
from agent.report import Reporter
from agent.room import ROOM_ENDED, RoomEnded, answered_caller, has_company, join
from agent.settings import WorkerSettings
from agent.stalls import Stalls
from agent.tracing import call_span, within

logger = logging.getLogger("agent.call")

#: How long LiveKit may take to delete a room, in s; its client has no timeout.
DELETE_TIMEOUT = 5.0
#: How long the gateway has to accept the report of a failure before the room is deleted, in s.
REPORT_HEAD_START = 0.5
#: Where a job's process holds what it does at the job's end.
FINISH = "finish"


async def run_call(
    ctx: JobContext, settings: WorkerSettings, new_conversation: NewConversation
) -> None:
    """Whatever fails, the gateway gets a report and the caller is not left in silence."""
    # Texts that operators know to look for, see docs/migration.md.
    logger.info("job received", extra={"agent_name": ctx.job.agent_name})
    logger.info("Room name: %s", ctx.job.room.name)
    call = read_context(ctx.job.metadata)
    with call_span(ctx, call) as trace:
        await _run_call(ctx, call, settings, new_conversation, trace)


async def _run_call(
    ctx: JobContext,
    call: CallContext,
    settings: WorkerSettings,
    new_conversation: NewConversation,
    trace: Context | None,
) -> None:
    reporter = Reporter(call.report_url, job_id=ctx.job.id, settings=settings)
    record = Record()
    conversation = new_conversation(ctx, call, record, settings)
    ctx.proc.userdata[FINISH] = lambda: _finish(conversation, reporter, trace)
    stalls = Stalls(record, Heartbeat(ctx.job.id))
    tasks = [asyncio.create_task(stalls.watch())]
    try:
        await join(ctx)
        tasks.append(asyncio.create_task(_report_answer(ctx.room, call, record, reporter)))
        tasks.append(asyncio.create_task(PacketCounter(record).watch(ctx.room)))
        ending = await conversation.talk(lambda: reporter.report("agent_ready"))
    except RoomEnded:
        ending = Ending(ROOM_ENDED)
    except Exception as error:
        logger.exception("call.failed")
        failure = _in_words(error)
        record.errors.append(failure)
        await _end_room(ctx, call, reporter.report("agent_failed", failure))
        raise
    finally:
        stalls.check()
        record.close()
        for task in tasks:
            task.cancel()
    logger.info("call.over", extra={"detail": ending.detail, "reason": ending.reason})
    report = reporter.report("agent_ended", ending.detail, disconnection_reason=ending.reason)
    # An agent that ended the call hangs up; one whose caller has left has nobody to hang up on.
    await (_end_room(ctx, call, report) if ending.reason else report)
    ctx.shutdown(ending.detail)


async def finish_call(ctx: JobContext) -> None:
    """What is left to do after the caller has gone; the framework calls it at the job's end."""
    if finish := ctx.proc.userdata.pop(FINISH, None):
        await finish()


async def _finish(conversation: Conversation, reporter: Reporter, trace: Context | None) -> None:
    with within(trace):
        await conversation.finish(lambda report: reporter.report("agent_report", report=report))


async def _report_answer(
    room: rtc.Room, call: CallContext, record: Record, reporter: Reporter
) -> None:
    """Report that the caller's leg is answered: the hook that says so may be lost."""
    await answered_caller(room, call)
    record.caller_answered()
    await reporter.report("answered")


async def _end_room(ctx: JobContext, call: CallContext, report: Coroutine[Any, Any, None]) -> None:
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
