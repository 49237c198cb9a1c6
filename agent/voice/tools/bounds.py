"""The time of a tool: a filler for the caller while it runs, an end if it hangs."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, get_type_hints

from livekit.agents import FunctionTool, RunContext, ToolError
from livekit.agents.llm import RawFunctionTool

from agent.profiles.profile import Waits

KnownTool = FunctionTool[Any, Any] | RawFunctionTool[Any, Any]

#: Between two fillers of one tool, in s.
FILLER_INTERVAL = 10.0


@asynccontextmanager
async def bounded(context: RunContext[Any], waits: Waits) -> AsyncIterator[None]:
    """Raises ToolError if what is done while it is entered takes longer than `waits.timeout`."""
    try:
        async with asyncio.timeout(waits.timeout), AsyncExitStack() as fillers:
            if waits.filler:
                filling = context.with_filler(
                    waits.filler, delay=waits.filler_after, interval=FILLER_INTERVAL
                )
                await fillers.enter_async_context(filling)
            yield
    except TimeoutError:
        raise ToolError(f"no answer within {waits.timeout:g} s") from None


def hold_floor(context: RunContext[Any]) -> None:
    """From now on the caller cannot interrupt. Raises ToolError if they just have."""
    if context.speech_handle.interrupted:
        raise ToolError("the caller is speaking: listen to them first")
    context.disallow_interruptions()


def with_bounds(tool: KnownTool, waits: Waits) -> KnownTool:
    """A tool that does what `tool` does, `bounded()`."""

    @functools.wraps(tool, updated=())  # a tool's own attributes would hide the new annotations
    async def call(*args: Any, _context: RunContext[Any], **kwargs: Any) -> Any:
        async with bounded(_context, waits):
            return await tool(*args, **kwargs)

    # livekit-agents hands the context to each parameter of that type.
    parameter = inspect.Parameter("_context", inspect.Parameter.KEYWORD_ONLY, annotation=RunContext)
    own = inspect.signature(tool)
    call.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*own.parameters.values(), parameter]
    )
    call.__annotations__ = {**get_type_hints(tool, include_extras=True), "_context": RunContext}
    if isinstance(tool, RawFunctionTool):
        return RawFunctionTool(call, tool.info)
    return FunctionTool(call, tool.info)
