"""Sessions of the page: what a signed cookie holds, and who may send it with a request. Pure.

A session is stored nowhere, so that every gateway of one configuration accepts it. It ends at its
time, or with the API key that it was begun with, or with the secret that signs it.
"""

import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from gateway.security.api_keys import ApiKey

#: What of the secret signs sessions signs nothing else.
_PURPOSE = b"session of the page"


def new_session(key: ApiKey, secret: str, *, expires_at: int) -> str:
    """The cookie's value: the key's name, the session's end (s since epoch), a signature."""
    content = f"{key.name}.{expires_at}"
    return f"{content}.{_signature(content, key, secret)}"


def session_key(token: str, keys: Iterable[ApiKey], secret: str, *, now: float) -> ApiKey | None:
    """The API key with which the session was begun; None for one that is over, or forged."""
    content, _, signature = token.rpartition(".")
    name, _, end = content.rpartition(".")
    if not (end.isascii() and end.isdecimal() and len(end) <= 20 and now < int(end)):
        return None
    signed = signature.encode("utf-8", "replace")
    for key in keys:
        expected = _signature(content, key, secret).encode()
        if key.name == name and hmac.compare_digest(expected, signed):
            return key
    return None


def _signature(content: str, key: ApiKey, secret: str) -> str:
    signing_key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
    signed = key.digest + f"{key.role}.{content}".encode()
    return hmac.digest(signing_key, signed, "sha256").hex()


def is_same_origin(headers: Mapping[str, str], public_url: str) -> bool:
    """Whether a browser sends the request for a page of the gateway itself.

    Browsers say so by Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/) where the page came
    by TLS or from loopback, and by Origin elsewhere.
    """
    if site := headers.get("Sec-Fetch-Site"):
        return site == "same-origin"
    authority = _authority(headers.get("Origin", ""))
    return bool(authority) and authority in {headers.get("Host", ""), _authority(public_url)}


def _authority(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""
