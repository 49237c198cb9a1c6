"""Idempotency keys: a repeated request gets the call, or the failed dial, of the first one."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from gateway.calls.call import Call
from gateway.errors import ApiError, DialFailed, ErrorCode, GatewayError

MAX_KEY_LENGTH = 255

#: Creates the call with the given id, or finishes what an earlier attempt has begun under that id.
Create = Callable[[str], Awaitable[Call]]
#: What a request gets: the call, or the error to raise.
Outcome = Call | GatewayError


class IdempotencyStore(Protocol):
    async def run(self, key: str, fingerprint: str, create: Create) -> Call:
        """The call of `key`: created by the first request that has the key; "" is no key.

        A key is kept once its call was dialed: repeated requests get the call, or the first one's
        DialFailed. After any other error nobody's telephone has rung, so the key is free again. A
        call is created to its end even if the client disconnects. Raises ApiError 409 if the key
        was used with another `fingerprint`, StorageUnavailable, and whatever `create` raises.
        """

    async def find(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The id of each key's call, which may not be stored yet; none for a key that is free.

        Raises StorageUnavailable.
        """


def clients_key(client: str, key: str) -> str:
    """The key as it is stored: each API key, by its name, has its own."""
    return f"{client}:{key}"


def keeps_key(outcome: Outcome) -> bool:
    """Whether repeated requests get this outcome, too."""
    return isinstance(outcome, Call | DialFailed)


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
