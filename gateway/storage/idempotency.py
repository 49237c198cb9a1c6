"""The same request twice is one call: both get the first one's outcome."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.calls.call import Call
from gateway.errors import ApiError, GatewayError, LiveKitUnreachable, RegistryUnavailable

#: Makes a call by the id it is given.
Make = Callable[[str], Awaitable[Call]]


class OnceOnly(Protocol):
    async def run(self, key: str, fingerprint: str, make: Make) -> Call:
        """`make()`'s outcome, made once a key. "" is no key.

        A refusal is an outcome like any other; a fault that may pass (429, 503) is forgotten, so
        that trying again is worth it. Raises ApiError 409 for a key that came with another
        `fingerprint`, and whatever `make` raises.
        """


def may_pass(error: GatewayError) -> bool:
    """Whether trying again may go better."""
    if isinstance(error, ApiError):
        return error.status in {429, 503}
    return isinstance(error, LiveKitUnreachable | RegistryUnavailable)


def reused() -> ApiError:
    return ApiError(
        409,
        "idempotency_key_reused",
        "this idempotency key came with another body before; use a key a call",
    )
