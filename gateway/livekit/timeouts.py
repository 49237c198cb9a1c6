"""What happens when LiveKit does not answer, or refuses: a timeout, repetitions, our own errors.

What becomes of the call then is decided where these errors are caught: an arriving caller gets the
fallback (transfers/fallback.py), n8n a 502 or 503 (api/errors.py), an active call goes on
(monitor/deadline_loop.py).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TypeVar

import aiohttp
import structlog
from google.protobuf.message import DecodeError
from livekit import api

from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable

log = structlog.get_logger()

T = TypeVar("T")

#: The pause before the first repetition, in s. It doubles up to the longest, with a jitter of 50 %.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5
#: The share of the timeout in which LiveKit has to answer on a connection that was used before: a
#: firewall or a balancer may have dropped it without a word. The repetition has a new connection.
REUSED_SHARE = 0.25

_FAILURES = (api.ServerError, aiohttp.ClientError, OSError, TimeoutError)

#: Ends the attempt that this task makes, once it is known to have a used connection.
_end_of_attempt: ContextVar[Callable[[], None] | None] = ContextVar("end_of_attempt", default=None)


async def once(attempt: Callable[[], Awaitable[T]], *, timeout: float) -> T:  # noqa: ASYNC109
    """`attempt`, which is not repeated. Raises LiveKitError; `timeout` in s.

    livekit-api 1.2 disables its session's own timeouts, so this is the only one.
    """
    try:
        async with asyncio.timeout(timeout):
            return await attempt()
    except Exception as error:
        raise _translated(error, timeout) from error


async def retried(
    attempt: Callable[[bool], Awaitable[T]],
    *,
    timeout: float,  # noqa: ASYNC109
) -> T:
    """`attempt`, repeated until LiveKit answers with less than a 5xx or `timeout` s have passed.

    `attempt(True)` is a repetition, which needs a new connection. Raises LiveKitError.
    """
    last: Exception | None = None
    pause = FIRST_PAUSE
    is_repetition = False
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    async with asyncio.timeout(None) as limit:
                        with _limited_if_reused(limit, REUSED_SHARE * timeout):
                            return await attempt(is_repetition)
                except Exception as error:
                    last = error
                    if not _may_pass(error):
                        break
                is_repetition = True
                await asyncio.sleep(random.uniform(0.5, 1.5) * pause)  # noqa: S311 - jitter
                pause = min(2 * pause, LONGEST_PAUSE)
    except TimeoutError as error:
        # If an attempt has failed before the time was up, its error says more.
        last = last or error
    raise _translated(last, timeout) from last


def reused_connection_trace() -> aiohttp.TraceConfig:
    """Limits the attempts of `retried()` that aiohttp sends on a connection used before."""
    trace = aiohttp.TraceConfig()

    async def on_reuse(
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        _params: aiohttp.TraceConnectionReuseconnParams,
    ) -> None:
        if end := _end_of_attempt.get():
            end()

    trace.on_connection_reuseconn.append(on_reuse)
    return trace


@contextmanager
def _limited_if_reused(limit: asyncio.Timeout, seconds: float) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    token = _end_of_attempt.set(lambda: limit.reschedule(loop.time() + seconds))
    try:
        yield
    finally:
        _end_of_attempt.reset(token)


def _may_pass(error: Exception) -> bool:
    """Whether a repetition may succeed; a defect of ours would only be repeated."""
    if isinstance(error, api.ServerError):
        return error.status >= 500
    return isinstance(error, (*_FAILURES, DecodeError))


def _translated(error: Exception, timeout: float) -> LiveKitError:
    """Ours for whatever has left livekit-api, aiohttp or protobuf."""
    match error:
        case LiveKitError():
            return error
        case api.ServerError():
            return LiveKitRefused(
                error.code, error.message, status=error.status, meta=error.metadata
            )
        case TimeoutError():
            return LiveKitUnreachable(f"LiveKit did not answer within {timeout:g} s")
        case DecodeError():
            return LiveKitUnreachable("LiveKit's answer cannot be read")
        case aiohttp.ClientError() | OSError():
            return LiveKitUnreachable(f"LiveKit cannot be reached: {error}")
    log.error("livekit.request_crashed", exc_info=error)
    return LiveKitUnreachable(f"the request to LiveKit has failed: {type(error).__name__}")
