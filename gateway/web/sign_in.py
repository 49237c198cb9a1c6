"""Signing in with an API key, and out: the session is a cookie that any gateway accepts."""

import re
import time
from collections.abc import Mapping
from urllib.parse import parse_qs

import structlog
from aiohttp import web
from marshmallow import fields
from yarl import URL

from gateway.api.auth import SESSION_COOKIE
from gateway.api.client_address import ClientGroup, address_of, check_allowed_address
from gateway.api.endpoints import Request
from gateway.api.schemas.requests import RequestSchema
from gateway.errors import ApiError, ErrorCode
from gateway.history.audit import Action
from gateway.security.api_keys import ApiKey, Role, matching
from gateway.security.sessions import is_same_origin, new_session
from gateway.web.page import SIGN_IN, Page, render, see_other

log = structlog.get_logger()

#: Bytes of a form at most: a key and a path.
MAX_FORM = 16_384


class NextSchema(RequestSchema):
    next = fields.String(load_default="/")


@Page(
    "GET",
    SIGN_IN,
    "The form to sign in with an API key",
    authentication=None,
    query=NextSchema(),
    answers={200: {"type": "string"}},
    answer_type="text/html",
    raises=(ErrorCode.ADDRESS_NOT_ALLOWED,),
)
async def sign_in_form(request: Request) -> web.Response:
    check_allowed_address(request.http, ClientGroup.API)
    if not request.services.config.security.keys:
        return see_other("/")
    return render(request, "sign_in.html", next=_own_path(request.query["next"]), error="")


@Page(
    "POST",
    SIGN_IN,
    "Sign in with an API key",
    authentication=None,
    raw_body={"type": "object"},
    answers={303: None, 401: {"type": "string"}},
    answer_type="text/html",
    raises=(ErrorCode.ADDRESS_NOT_ALLOWED, ErrorCode.CROSS_SITE, ErrorCode.TOO_MANY_REQUESTS),
)
async def sign_in(request: Request) -> web.Response:
    services, http = request.services, request.http
    check_allowed_address(http, ClientGroup.API)
    _check_own_form(request)
    form = _form(request.raw)
    target = _own_path(form.get("next", "/"))
    address = str(address_of(http) or "unknown")
    services.limits.check_sign_in_rate(address)
    offered = matching(form.get("key", "").strip(), services.config.security.keys)
    if not offered:
        log.warning("session.refused", remote=address)
        error = "The gateway does not know this API key."
        return render(request, "sign_in.html", status=401, next=target, error=error)
    key = max(offered, key=lambda key: sum(map(key.role.includes, Role)))
    services.audit.record(Action.SIGN_IN, client=key.name, detail=f"from {address}")
    response = see_other(target)
    _begin(response, request, key)
    return response


@Page(
    "POST",
    "/sign-out",
    "Sign out",
    authentication=None,
    answers={303: None},
    answer_type="text/html",
    raises=(ErrorCode.CROSS_SITE,),
)
async def sign_out(request: Request) -> web.Response:
    _check_own_form(request)
    response = see_other(SIGN_IN)
    response.del_cookie(SESSION_COOKIE, path="/")
    return response


def _begin(response: web.Response, request: Request, key: ApiKey) -> None:
    config = request.services.config
    lifetime = round(config.web.session_lifetime)
    expires_at = int(time.time()) + lifetime
    response.set_cookie(
        SESSION_COOKIE,
        new_session(key, config.livekit.api_secret, expires_at=expires_at),
        max_age=lifetime,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=config.server.public_url.startswith("https:"),
    )


def _check_own_form(request: Request) -> None:
    """Raises ApiError 403 for a form of another page."""
    if not is_same_origin(request.http.headers, request.services.config.server.public_url):
        raise ApiError(ErrorCode.CROSS_SITE, "this form is used on the gateway's own page only")


def _form(raw: bytes) -> Mapping[str, str]:
    """The first value of each field. Raises ApiError 413, 422."""
    if len(raw) > MAX_FORM:
        raise ApiError(ErrorCode.TOO_LARGE, f"the form has more than {MAX_FORM} bytes")
    try:
        fields = parse_qs(raw.decode(errors="replace"), max_num_fields=10)
    except ValueError as error:
        raise ApiError(ErrorCode.INVALID, "the form has too many fields") from error
    return {name: values[0] for name, values in fields.items()}


def _own_path(target: str) -> str:
    """`target` if it is a path of this gateway: a link to the sign-in must not lead elsewhere."""
    try:
        url = URL(target)
    except ValueError:
        return "/"
    is_own = not url.absolute and re.match(r"/(?!/)", url.raw_path)
    return url.raw_path_qs if is_own else "/"
