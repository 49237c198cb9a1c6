"""What happens when LiveKit does not answer, or refuses: a timeout, repetitions, our own errors.

What becomes of the call then is decided where these errors are caught: an arriving caller gets the
fallback (transfers/fallback.py), n8n a 502 or 503 (api/errors.py), an active call goes on
(monitor/deadline_loop.py).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
from livekit import api

from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable

T = TypeVar("T")

#: The pause before the first repetition, in s. It doubles up to the longest, with a jitter of 50 %.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5

_FAILURES = (api.ServerError, aiohttp.ClientError, TimeoutError)


async def once(attempt: Callable[[], Awaitable[T]], *, timeout: float) -> T:  # noqa: ASYNC109
    """`attempt`, which is not repeated. Raises LiveKitError; `timeout` in s.

    livekit-api 1.2 disables its session's own timeouts, so this is the only one.
    """
    try:
        async with asyncio.timeout(timeout):
            return await attempt()
    except _FAILURES as error:
        raise _translated(error, timeout) from error


async def retried(attempt: Callable[[], Awaitable[T]], *, timeout: float) -> T:  # noqa: ASYNC109
    """`attempt`, repeated until LiveKit answers with less than a 5xx or `timeout` s have passed.

    Raises LiveKitError.
    """
    last: Exception | None = None
    pause = FIRST_PAUSE
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    return await attempt()
                except _FAILURES as error:
                    last = error
                    if isinstance(error, api.ServerError) and error.status < 500:
                        break
                await asyncio.sleep(random.uniform(0.5, 1.5) * pause)  # noqa: S311 - jitter
                pause = min(2 * pause, LONGEST_PAUSE)
    except TimeoutError as error:
        # If an attempt has failed before the time was up, its error says more.
        last = last or error
    raise _translated(last, timeout) from last


def _translated(error: Exception, timeout: float) -> LiveKitError:
    if isinstance(error, api.ServerError):
        return LiveKitRefused(error.code, error.message, status=error.status, meta=error.metadata)
    if isinstance(error, TimeoutError):
        return LiveKitUnreachable(f"LiveKit did not answer within {timeout:g} s")
    return LiveKitUnreachable(f"LiveKit cannot be reached: {error}")
