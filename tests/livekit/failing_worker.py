"""A worker whose conversation fails: it raises an exception, or its process dies."""

import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from livekit import rtc
from livekit.agents import JobContext

from agent.call import run_call
from agent.context import CallContext
from agent.record import Record
from agent.room import answered_caller
from agent.settings import read_settings
from agent.worker import Worker

settings = read_settings()
server = Worker(settings)


async def fail(
    room: rtc.Room,
    call: CallContext,
    record: Record,
    on_ready: Callable[[], Coroutine[Any, Any, None]],
) -> str:
    await on_ready()
    caller = await answered_caller(room, call)
    if caller.identity == "sip_crash":
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("no more words")


@server.rtc_session(agent_name=settings.agent_name)
async def take_call(ctx: JobContext) -> None:
    await run_call(ctx, settings, fail)
