"""The same request twice is one call: both get the first one's outcome."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.calls.call import Call
from gateway.errors import ApiError, ErrorCode, GatewayError, LiveKitUnreachable, StorageUnavailable

#: Makes a call by the id it is given.
Create = Callable[[str], Awaitable[Call]]


class IdempotencyStore(Protocol):
    async def run(self, key: str, fingerprint: str, create: Create) -> Call:
        """`create()`'s outcome, made once a key. "" is no key.

        A refusal is an outcome like any other; a fault that may pass (429, 503) is forgotten, so
        that trying again is worth it. Raises ApiError 409 for a key that came with another
        `fingerprint`, and whatever `create` raises.
        """


def is_transient(error: GatewayError) -> bool:
    """Whether trying again may go better."""
    if isinstance(error, ApiError):
        return error.status in {429, 503}
    return isinstance(error, LiveKitUnreachable | StorageUnavailable)


def key_reused() -> ApiError:
    return ApiError(
        ErrorCode.IDEMPOTENCY_KEY_REUSED,
        "this idempotency key came with another body before; use a key a call",
    )
