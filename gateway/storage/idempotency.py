"""Idempotency keys: a repeated request gets the call, or the error, of the first one."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.calls.call import Call
from gateway.errors import ApiError, ErrorCode, GatewayError, LiveKitRefused

#: Creates the call with the given id.
Create = Callable[[str], Awaitable[Call]]
#: What repeated requests get: the call, or the error to raise.
Outcome = Call | GatewayError


class IdempotencyStore(Protocol):
    async def run(self, key: str, fingerprint: str, create: Create) -> Call:
        """The call of `key`: created by the first request that has the key; "" is no key.

        Repeated requests get the first one's error as well, but for a transient error (429, 503):
        that is forgotten, and the next request tries again. A call is created to its end even if
        the client disconnects. Raises ApiError 409 if the key was used with another `fingerprint`,
        StorageUnavailable, and whatever `create` raises.
        """


def is_transient(error: GatewayError) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, ApiError):
        return error.status in {429, 503}
    return not isinstance(error, LiveKitRefused)


def call_or_raise(outcome: Outcome) -> Call:
    if isinstance(outcome, GatewayError):
        # Raised for each request: its traceback would grow with every one.
        raise outcome.with_traceback(None)
    return outcome


def key_reused() -> ApiError:
    return ApiError(
        ErrorCode.IDEMPOTENCY_KEY_REUSED,
        "this idempotency key was used with another body; use a new key for each call",
    )
