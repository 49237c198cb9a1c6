"""How a client authenticates; an endpoint names one of these in its `@Endpoint(...)`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from aiohttp import web

from common.addresses import is_among
from gateway.api.client_address import ClientGroup, address_of, check_allowed_address
from gateway.api.services import SERVICES, Services
from gateway.errors import ApiError, ErrorCode
from gateway.jambonz import basic_auth, signature
from gateway.livekit.webhooks import AuthenticationFailed, check_body
from gateway.security.api_keys import ApiKey, Role, matching
from gateway.security.sessions import is_same_origin, session_key

#: The cookie of a session of the page (gateway/web/sign_in.py).
SESSION_COOKIE = "gateway_session"
#: Methods by which nothing changes.
_SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Proof:
    """What the headers of a request prove, before its body is read.

    `client` is the client's name, "" where it has none; `role` what it may do by an API key, which
    is everything where none is configured. `check_body` raises ApiError for a body that the headers
    do not sign. `is_complete` is False where anyone could have written them.
    """

    client: str = ""
    role: Role = Role.ADMIN
    check_body: Callable[[bytes], None] | None = None
    is_complete: bool = True


#: Of a client that has not been asked: an endpoint without authentication shows it nothing.
NOTHING_PROVEN = Proof(role=Role.VIEW, is_complete=False)


@dataclass(frozen=True, slots=True)
class Authentication:
    """`schemes` are the names in the OpenAPI document, `errors` what a client is refused with.

    `verify` looks at the headers alone. It raises ApiError.
    """

    group: ClientGroup
    schemes: tuple[str, ...]
    errors: tuple[ErrorCode, ...]
    verify: Callable[[web.Request, Services], Proof]
    role: Role | None = None

    def authenticate(self, request: web.Request) -> Proof:
        """Raises ApiError, with the body unread."""
        check_allowed_address(request, self.group)
        return self.verify(request, request.app[SERVICES])

    def accepts(self, request: web.Request) -> bool:
        """Whether the client authenticates, where it need not."""
        try:
            return self.authenticate(request).is_complete
        except ApiError:
            return False


def _verify_jambonz(request: web.Request, services: Services) -> Proof:
    """By basic auth or `Jambonz-Signature`, whichever is configured; either will do if both are."""
    security = services.config.security
    if not security.has_webhook_auth or _has_basic_auth(request, services):
        return Proof()
    with _refusing(signature.SignatureError, ErrorCode.BAD_SIGNATURE):
        signed = signature.read(
            request.headers.get("Jambonz-Signature"),
            now=time.time(),
            tolerance=security.signature_tolerance,
        )

    def check(body: bytes) -> None:
        with _refusing(signature.SignatureError, ErrorCode.BAD_SIGNATURE):
            signed.check(body, security.webhook_secrets)

    return Proof(check_body=check, is_complete=False)


def _has_basic_auth(request: web.Request, services: Services) -> bool:
    """Raises ApiError 401 where it is wrong and no signature could make up for it."""
    security = services.config.security
    if not security.webhook_auth:
        return False
    try:
        basic_auth.verify(request.headers.get("Authorization"), security.webhook_auth)
    except basic_auth.BasicAuthError as error:
        if security.webhook_secrets:
            return False
        message = (
            f"{error}; the calling and the call status webhook must have a user name and password "
            "of JAMBONZ_WEBHOOK_AUTH"
        )
        raise ApiError(ErrorCode.BAD_BASIC_AUTH, message) from error
    return True


@contextmanager
def _refusing(problem: type[Exception], code: ErrorCode) -> Iterator[None]:
    """Turns a `problem` with the proof into ApiError."""
    try:
        yield
    except problem as error:
        raise ApiError(code, str(error)) from error


def _verify_socket(request: web.Request, services: Services) -> Proof:
    """By basic auth: Jambonz signs neither the upgrade to a WebSocket nor what it sends there."""
    security = services.config.security
    if not security.has_webhook_auth:
        return Proof()
    try:
        basic_auth.verify(request.headers.get("Authorization"), security.webhook_auth)
    except basic_auth.BasicAuthError as error:
        message = (
            f"{error}; the calling webhook of a WebSocket must have a user name and password of "
            "JAMBONZ_WEBHOOK_AUTH, since Jambonz signs nothing there"
        )
        raise ApiError(ErrorCode.BAD_BASIC_AUTH, message) from error
    return Proof()


def _verify_livekit(request: web.Request, services: Services) -> Proof:
    with _refusing(AuthenticationFailed, ErrorCode.BAD_TOKEN):
        signed_hash = services.webhooks.signed_hash(request.headers.get("Authorization"))

    def check(body: bytes) -> None:
        with _refusing(AuthenticationFailed, ErrorCode.BAD_TOKEN):
            check_body(signed_hash, body)

    return Proof(check_body=check)


def _verify_api_key(role: Role, request: web.Request, services: Services) -> Proof:
    keys = services.config.security.keys
    if not keys:
        return Proof()
    secret = _offered_secret(request)
    offered = matching(secret, keys) if secret else session_of(request, services)
    if not offered:
        message = "the gateway does not know this API key"
        if not secret:
            message = "send an API key's secret as 'Authorization: Bearer …' or 'X-API-Key: …'"
        raise ApiError(ErrorCode.UNAUTHORIZED, message)
    key = max(offered, key=lambda key: sum(map(key.role.includes, Role)))
    if not key.role.includes(role):
        raise ApiError(ErrorCode.FORBIDDEN, f"this API key does not have the role {role}")
    return Proof(key.name, key.role)


def _verify_metrics(request: web.Request, services: Services) -> Proof:
    if is_among(address_of(request), services.config.security.metrics_addresses):
        return NOTHING_PROVEN
    return _verify_api_key(Role.VIEW, request, services)


def session_of(request: web.Request, services: Services) -> list[ApiKey]:
    """The API key of the session whose cookie a page of the gateway sends; [] without one.

    Raises ApiError 403 where another page may have had the browser send it, to change something.
    """
    config = services.config
    token = request.cookies.get(SESSION_COOKIE, "")
    if not token:
        return []
    if request.method not in _SAFE and not is_same_origin(
        request.headers, config.server.public_url
    ):
        raise ApiError(ErrorCode.CROSS_SITE, ErrorCode.CROSS_SITE.description)
    secret = config.livekit.api_secret
    key = session_key(token, config.security.keys, secret, now=time.time())
    return [key] if key else []


def _offered_secret(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("X-API-Key", "")


def api_key(role: Role) -> Authentication:
    """An API key with `role`; its name is the client's. Where no key is configured, anyone."""
    forbidden = () if role is Role.VIEW else (ErrorCode.FORBIDDEN,)
    cross_site = (ErrorCode.CROSS_SITE,) if role.includes(Role.DISPATCH) else ()
    return Authentication(
        ClientGroup.API,
        ("bearer", "apiKey"),
        (ErrorCode.UNAUTHORIZED, *forbidden, *cross_site),
        lambda request, services: _verify_api_key(role, request, services),
        role=role,
    )


#: A hook of Jambonz, authenticated by signature or basic auth.
JAMBONZ = Authentication(
    ClientGroup.JAMBONZ,
    ("jambonzSignature", "jambonzBasicAuth"),
    (ErrorCode.BAD_SIGNATURE, ErrorCode.BAD_BASIC_AUTH),
    _verify_jambonz,
)
#: A WebSocket of Jambonz.
JAMBONZ_SOCKET = Authentication(
    ClientGroup.JAMBONZ, ("jambonzBasicAuth",), (ErrorCode.BAD_BASIC_AUTH,), _verify_socket
)
#: LiveKit's webhooks and the agent worker's reports: a JWT over the body's SHA-256.
LIVEKIT = Authentication(
    ClientGroup.LIVEKIT,
    ("livekitToken",),
    (ErrorCode.BAD_TOKEN,),
    _verify_livekit,
)
VIEW = api_key(Role.VIEW)
#: Prometheus: as VIEW, or nothing from an address in `security.metrics_addresses`.
METRICS = replace(VIEW, verify=_verify_metrics)
READ = api_key(Role.READ)
DISPATCH = api_key(Role.DISPATCH)
ADMIN = api_key(Role.ADMIN)
