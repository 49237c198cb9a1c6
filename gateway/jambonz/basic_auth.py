"""Basic auth (RFC 7617): Jambonz sends it if a webhook has a user name and a password. Pure.

jambonz-feature-server posts the call hook and the hooks of verbs with the credentials of the
calling webhook, and status hooks with those of the call status webhook
(`lib/utils/http-requestor.js`): set them on both webhooks.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable

from gateway.calls.destinations import Credentials


class BasicAuthError(Exception):
    """The header does not authenticate the request; the text says why, without the header."""


def encode(credentials: Credentials) -> str:
    """The value of the `Authorization` header."""
    return f"Basic {base64.b64encode(_plain(credentials)).decode()}"


def verify(header: str | None, accepted: Iterable[Credentials]) -> None:
    """Check the value of an `Authorization` header against the `accepted` credentials.

    Several are accepted while credentials are rotated. Raises BasicAuthError.
    """
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        raise BasicAuthError("the request has no basic auth")
    try:
        digest = _digest(base64.b64decode(encoded.strip(), validate=True))
    except ValueError:
        raise BasicAuthError("the basic auth is not base64") from None
    # All are compared, so that the time taken does not depend on which one matches.
    matches = [hmac.compare_digest(digest, _digest(_plain(known))) for known in accepted]
    if not any(matches):
        raise BasicAuthError("user name and password are none of the configured ones")


def _plain(credentials: Credentials) -> bytes:
    return f"{credentials.username}:{credentials.password}".encode()


def _digest(plain: bytes) -> bytes:
    return hashlib.sha256(plain).digest()
