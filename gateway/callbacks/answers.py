"""What the response to a callback, or the lack of one, means."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import aiohttp

from common.http_failures import failure_of
from common.urls import UrlRejected, host_of, without_query
from gateway.callbacks.delivery import Answer

#: What n8n answers with 200, to every request, while it migrates its database.
_STARTING_UP = b"n8n is starting up"
_HTML_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
#: The path of n8n's resume URLs has this (N8N_ENDPOINT_WEBHOOK_WAIT). A Wait node answers with
#: JSON, or with a text of the workflow's.
_RESUMES = "/webhook-waiting/"
#: So much of a page is read, in bytes, and of a redirect's target shown, in characters.
_LONGEST_HEAD = 512
_LONGEST_TARGET = 200


async def answer_of(response: aiohttp.ClientResponse, url: str) -> Answer:
    """`url` is where the callback went."""
    if failure := failure_of(response.status):
        led = _redirected(response, url)
        return Answer(response.status, f"{failure}{led}", _retry_after(response))
    return Answer(response.status, await _page(response, url))


async def _page(response: aiohttp.ClientResponse, url: str) -> str:
    """What a 2xx says that does not accept the callback; "" if it accepts it."""
    if response.content_type != "text/html":
        return ""
    head = await response.content.read(_LONGEST_HEAD)
    if head.startswith(_STARTING_UP):
        return f"answered {response.status}, but n8n is starting up"
    if _RESUMES in urlsplit(url).path and _HTML_PAGE.match(head):
        return f"answered {response.status} with an HTML page, which is not n8n's Wait node"
    return ""


def _redirected(response: aiohttp.ClientResponse, url: str) -> str:
    """Where a redirect leads, without its query; "" for another response."""
    location = response.headers.get("Location")
    if not 300 <= response.status < 400 or location is None:
        return ""
    try:
        target = urljoin(url, location)
        host_of(target)
    except (UrlRejected, ValueError):
        return ": redirects to no usable URL"
    shown = without_query(target)[:_LONGEST_TARGET]
    return f": redirects are not followed, this one leads to {shown}"


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """The Retry-After header (RFC 9110 §10.2.3) in s from now; None without a usable one."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    until = _date(value)
    if until is None:
        return None
    # By the receiver's clock where it sends its time: the two may differ.
    now = _date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
