"""How a client authenticates; an endpoint names one of these in its `@endpoint(...)`."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.api.client_address import ClientGroup, check_allowed_address
from gateway.api.parsing import read_body
from gateway.api.services import SERVICES, Services
from gateway.errors import ApiError, ErrorCode
from gateway.jambonz import basic_auth, signature
from gateway.livekit.webhooks import AuthenticationFailed
from gateway.security.api_keys import Role, matching


@dataclass(frozen=True, slots=True)
class Authentication:
    """`schemes` are the names in the OpenAPI document, `errors` what a client is refused with.

    `verify` is given the raw body where the client signs it, else b"". It returns the client's
    name, "" where it has none, and raises ApiError.
    """

    group: ClientGroup
    schemes: tuple[str, ...]
    errors: tuple[ErrorCode, ...]
    verify: Callable[[web.Request, Services, bytes], str]
    signs_body: bool = False
    role: Role | None = None

    async def authenticate(self, request: web.Request) -> tuple[str, bytes | None]:
        """The client's name, and the body if it had to be read. Raises ApiError."""
        check_allowed_address(request, self.group)
        body = await read_body(request) if self.signs_body else None
        return self.verify(request, request.app[SERVICES], body or b""), body


def _verify_jambonz(request: web.Request, services: Services, body: bytes) -> str:
    """By basic auth or `Jambonz-Signature`, whichever is configured; either will do if both are."""
    security = services.config.security
    if security.has_webhook_auth and not _has_basic_auth(request, services):
        _check_signature(request, services, body)
    return ""


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


def _check_signature(request: web.Request, services: Services, body: bytes) -> None:
    security = services.config.security
    try:
        signature.verify(
            request.headers.get("Jambonz-Signature"),
            body,
            security.webhook_secrets,
            now=time.time(),
            tolerance=security.signature_tolerance,
        )
    except signature.SignatureError as error:
        message = f"{error}; JAMBONZ_WEBHOOK_SECRET must be the account's webhook secret"
        raise ApiError(ErrorCode.BAD_SIGNATURE, message) from error


def _verify_socket(request: web.Request, services: Services, _: bytes) -> str:
    """By basic auth: Jambonz signs neither the upgrade to a WebSocket nor what it sends there."""
    security = services.config.security
    if not security.has_webhook_auth:
        return ""
    try:
        basic_auth.verify(request.headers.get("Authorization"), security.webhook_auth)
    except basic_auth.BasicAuthError as error:
        message = (
            f"{error}; the calling webhook of a WebSocket must have a user name and password of "
            "JAMBONZ_WEBHOOK_AUTH, since Jambonz signs nothing there"
        )
        raise ApiError(ErrorCode.BAD_BASIC_AUTH, message) from error
    return ""


def _verify_livekit(request: web.Request, services: Services, body: bytes) -> str:
    try:
        services.webhooks.check(request.headers.get("Authorization"), body)
    except AuthenticationFailed as error:
        message = f"{error}; it must be signed with this gateway's LIVEKIT_API_SECRET"
        raise ApiError(ErrorCode.BAD_TOKEN, message) from error
    return ""


def _verify_api_key(role: Role, request: web.Request, services: Services) -> str:
    keys = services.config.security.keys
    if not keys:
        return ""
    secret = _offered_secret(request)
    if not secret:
        message = "send an API key's secret as 'Authorization: Bearer …' or 'X-API-Key: …'"
        raise ApiError(ErrorCode.UNAUTHORIZED, message)
    offered = matching(secret, keys)
    if not offered:
        raise ApiError(ErrorCode.UNAUTHORIZED, "the gateway does not know this API key")
    for key in offered:
        if key.role.includes(role):
            return key.name
    raise ApiError(ErrorCode.FORBIDDEN, f"this API key does not have the role {role}")


def _offered_secret(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("X-API-Key", "")


def api_key(role: Role) -> Authentication:
    """An API key with `role`; its name is the client's. Where no key is configured, anyone."""
    forbidden = () if role is Role.READ else (ErrorCode.FORBIDDEN,)
    return Authentication(
        ClientGroup.API,
        ("bearer", "apiKey"),
        (ErrorCode.UNAUTHORIZED, *forbidden),
        lambda request, services, _: _verify_api_key(role, request, services),
        role=role,
    )


#: A hook of Jambonz, authenticated by signature or basic auth.
JAMBONZ = Authentication(
    ClientGroup.JAMBONZ,
    ("jambonzSignature", "jambonzBasicAuth"),
    (ErrorCode.BAD_SIGNATURE, ErrorCode.BAD_BASIC_AUTH),
    _verify_jambonz,
    signs_body=True,
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
    signs_body=True,
)
READ = api_key(Role.READ)
DISPATCH = api_key(Role.DISPATCH)
