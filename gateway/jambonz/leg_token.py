"""The header that tells LiveKit's leg to an enqueued caller from a stranger's call. Pure.

Whoever calls Jambonz may name a call's id as their destination. Only the gateway knows the token,
which LiveKit sends in its INVITE and Jambonz in its call hook.
"""

import hmac
from collections.abc import Iterable, Mapping

from gateway.jambonz.identity import header

HEADER = "X-Call-Token"


def leg_token(call_id: str, secret: str) -> str:
    """The token of one call; gateways that share the LiveKit key `secret` compute the same one."""
    return hmac.digest(secret.encode(), f"enqueued caller of {call_id}".encode(), "sha256").hex()


def is_own_leg(headers: Mapping[str, str], call_id: str, secrets: Iterable[str]) -> bool:
    """Whether `headers` have the token by one of `secrets`: several while a key is rotated."""
    given = header(headers, HEADER).encode()
    # All are compared, so that the time taken does not depend on which one matches.
    matches = [hmac.compare_digest(given, leg_token(call_id, s).encode()) for s in secrets]
    return any(matches)
