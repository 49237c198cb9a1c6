"""What the response to a callback, or the lack of one, means."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from common.http_failures import failure_of
from gateway.callbacks.delivery import Answer


def answer_of(response: aiohttp.ClientResponse) -> Answer:
    failure = failure_of(response.status)
    if not failure:
        return Answer(response.status)
    return Answer(response.status, failure, _retry_after(response))


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
