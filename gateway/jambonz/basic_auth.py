"""Basic auth (RFC 7617), which Jambonz sends where a webhook has a user name and password. Pure.

jambonz-feature-server posts all hooks of a call's verbs with the calling webhook's credentials, and
its status hooks with the call status webhook's (`lib/utils/http-requestor.js`): both need them.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable

from gateway.calls.destinations import Credentials


class BasicAuthError(Exception):
    """The header does not prove who sent it; the text says why, without what it holds."""


def encode(credentials: Credentials) -> str:
    """The `Authorization` header's value."""
    return f"Basic {base64.b64encode(_plain(credentials)).decode()}"


def verify(header: str | None, accepted: Iterable[Credentials]) -> None:
    """Check an `Authorization` header; several may be valid while one is rotated.

    Raises BasicAuthError.
    """
    scheme, _, offered = (header or "").partition(" ")
    if scheme.lower() != "basic":
        raise BasicAuthError("there is no basic auth")
    try:
        digest = _digest(base64.b64decode(offered.strip(), validate=True))
    except ValueError:
        raise BasicAuthError("the basic auth is not base64") from None
    # No short cut: all are compared, so timing tells nothing about which one is close.
    matches = [hmac.compare_digest(digest, _digest(_plain(one))) for one in accepted]
    if not any(matches):
        raise BasicAuthError("the basic auth is none of the configured ones")


def _plain(credentials: Credentials) -> bytes:
    return f"{credentials.username}:{credentials.password}".encode()


def _digest(plain: bytes) -> bytes:
    return hashlib.sha256(plain).digest()
