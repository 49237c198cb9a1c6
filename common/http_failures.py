"""Why an HTTP request failed, in our own words.

A server's own text, and a client library's, may contain what nobody may read: the query of a URL
may be a secret.
"""

import os
import ssl
from collections.abc import Sequence
from http import HTTPStatus

import aiohttp

from common.guarded_resolver import AddressRejected
from common.resolver import LookupFailed

CANNOT_BE_SENT = "the request cannot be sent"
#: By the kind of the error, the narrower ones first.
_REASONS: Sequence[tuple[type[Exception], str]] = (
    (aiohttp.ClientSSLError, "the TLS handshake failed"),
    (aiohttp.ClientConnectorError, "no connection"),
    (aiohttp.ClientConnectionError, "the connection was closed before an answer"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (aiohttp.ClientPayloadError, "the answer is not HTTP"),
)
_KNOWN = frozenset(HTTPStatus)


def failure_of(status: int) -> str:
    """What a status means: "" from 200 to 299."""
    if status < 300:
        return ""
    phrase = HTTPStatus(status).phrase if status in _KNOWN else ""
    return f"answered {status} {phrase}".rstrip()


def reason_of(error: Exception, timeout: float) -> str:
    """What an exception of aiohttp's client means; `timeout` in s."""
    match error:
        case TimeoutError():
            return f"no answer within {timeout:g} s"
        case aiohttp.ClientConnectorDNSError(os_error=AddressRejected() | LookupFailed() as cause):
            return str(cause)
        case aiohttp.ClientConnectorCertificateError(certificate_error=cause):
            return certificate_failure(cause)
    text = next((text for kind, text in _REASONS if isinstance(error, kind)), CANNOT_BE_SENT)
    if type(error) is aiohttp.ClientConnectorError and error.errno:
        return f"{text}: {os.strerror(error.errno)}"
    return text


def certificate_failure(error: Exception) -> str:
    """Why a server's certificate is refused; the reason is OpenSSL's: untrusted, expired, …"""
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
    return f"its certificate is not valid: {reason}" if reason else "its certificate is not valid"
