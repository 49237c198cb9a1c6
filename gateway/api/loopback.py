"""Where no authentication is configured: requests of this machine's programs only.

The gateway listens on loopback then, which keeps other machines out but not the pages that this
machine's browser shows. By DNS rebinding a page's own host name leads to 127.0.0.1; the browser
still sends that name as Host, and the page's address as Origin.
"""

from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.errors import ApiError, ErrorCode
from gateway.security.addresses import is_loopback

REFUSED = (
    "{header} {value!r} is not this machine: without JAMBONZ_WEBHOOK_SECRET and GATEWAY_API_KEYS "
    "the gateway is used as http://127.0.0.1 or http://localhost only"
)


@web.middleware
async def loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raises ApiError 403 for a Host that is no loopback name, and for a page of another one."""
    for host in request.headers.getall("Host", []):
        _check("Host", host, host)
    for origin in request.headers.getall("Origin", []):
        _check("Origin", origin, _authority(origin))
    return await handler(request)


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _check(header: str, value: str, authority: str) -> None:
    if not is_loopback(authority):
        raise ApiError(ErrorCode.HOST_NOT_ALLOWED, REFUSED.format(header=header, value=value[:100]))
