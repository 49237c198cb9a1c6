"""`Page` declares a page: an endpoint that answers HTML, its refusals too."""

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp_jinja2
from aiohttp import web

from gateway.api.endpoints import Endpoint, Request
from gateway.api.services import SERVICES
from gateway.errors import ApiError, ErrorCode, RecordUnreadable, StorageUnavailable
from gateway.security.api_keys import Role

#: What a page may load: scripts, styles and data of this gateway, nothing inline. A script makes
#: HTML of text only by the policy `fragments`, for what a template of ours has escaped.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'{connect}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "require-trusted-types-for 'script'; trusted-types fragments"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(connect=""),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SIGN_IN = "/sign-in"


class Page(Endpoint):
    """As Endpoint; a client without a session is led to the sign-in, an error is a page."""

    __slots__ = ()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            response = await super().handle(request)
        except ApiError as error:
            response = _refusal(request, error)
        except (StorageUnavailable, RecordUnreadable) as error:
            response = _refusal(request, ApiError(ErrorCode.STORAGE_UNAVAILABLE, str(error)))
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
    """`template` of `templates/`, which also gets the client's name and role."""
    about = {"client": request.client, "role": request.role, "Role": Role}
    return _render(request.http, template, status, {**about, **context})


def see_other(location: str) -> web.Response:
    """Have the browser GET `location`, a path of this gateway."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": location})


def _refusal(request: web.Request, error: ApiError) -> web.Response:
    if error.code is not ErrorCode.UNAUTHORIZED:
        return _render(request, "error.html", error.status, {"error": error, **_NOBODY})
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # A link elsewhere led here, so the browser withheld the cookie; it sends it with what the
        # page itself loads next.
        return _render(request, "again.html", HTTPStatus.OK, _NOBODY)
    return see_other(f"{SIGN_IN}?next={quote(request.rel_url.raw_path_qs, safe='')}")


_NOBODY = {"client": "", "role": None, "Role": Role}


def _render(
    request: web.Request, template: str, status: int, context: dict[str, Any]
) -> web.Response:
    config = request.app[SERVICES].config
    page = template.removesuffix(".html")
    shared = {
        "page": page,
        "has_sign_in": bool(config.security.keys),
        "has_web_calls": config.web.calls,
    }
    return aiohttp_jinja2.render_template(template, request, {**shared, **context}, status=status)
