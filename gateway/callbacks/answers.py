"""What the response to a callback, or the lack of one, means: in our own words.

A receiver's own text, and a client library's, may contain what nobody may read: the query of a
callback URL is a secret of n8n's.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from gateway.callbacks.addresses import AddressRejected
from gateway.callbacks.delivery import Answer
from gateway.resolver import LookupFailed

CANNOT_BE_SENT = "the request cannot be sent"
#: By the kind of the error, the narrower ones first.
_REASONS: Sequence[tuple[type[Exception], str]] = (
    (aiohttp.ClientConnectorCertificateError, "its certificate is not valid for this host"),
    (aiohttp.ClientSSLError, "the TLS handshake failed"),
    (aiohttp.ClientConnectorError, "no connection"),
    (aiohttp.ClientConnectionError, "the connection was closed before an answer"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (aiohttp.ClientPayloadError, "the answer is not HTTP"),
)
_KNOWN = frozenset(HTTPStatus)


def answer_of(response: aiohttp.ClientResponse) -> Answer:
    status = response.status
    if status < 300:
        return Answer(status)
    phrase = HTTPStatus(status).phrase if status in _KNOWN else ""
    return Answer(status, f"answered {status} {phrase}".rstrip(), _retry_after(response))


def failure_of(error: Exception, timeout: float) -> Answer:
    """The answer that stands for an exception of aiohttp's client; `timeout` in s."""
    return Answer(None, _reason(error, timeout))


def _reason(error: Exception, timeout: float) -> str:
    match error:
        case TimeoutError():
            return f"no answer within {timeout:g} s"
        case aiohttp.ClientConnectorDNSError(os_error=AddressRejected() | LookupFailed() as cause):
            return str(cause)
    text = next((text for kind, text in _REASONS if isinstance(error, kind)), CANNOT_BE_SENT)
    if type(error) is aiohttp.ClientConnectorError and error.errno:
        return f"{text}: {os.strerror(error.errno)}"
    return text


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """The Retry-After header (RFC 9110 §10.2.3) in s from now; None without a usable one."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    until = _date(value)
    if until is None:
        return None
    # By the receiver's clock where it tells its time: the two may differ.
    now = _date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
