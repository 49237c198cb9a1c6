"""Who is asking, and may they: the proof each kind of visitor brings."""

from aiohttp import web

from gateway.api.client_address import ClientGroup, check_allowed_address
from gateway.api.keys import CLOCK, CONFIG, WEBHOOK_VERIFIER
from gateway.api.parsing import read_body
from gateway.errors import ApiError, ErrorCode
from gateway.jambonz import basic_auth, signature
from gateway.livekit.webhooks import ProofError
from gateway.security.api_keys import Role, matching


async def verified_jambonz_body(request: web.Request) -> bytes:
    """The body of a Jambonz hook, proven by its signature or by basic auth where either is set."""
    check_allowed_address(request, ClientGroup.JAMBONZ)
    security = request.app[CONFIG].security
    body = await read_body(request)
    if security.has_webhook_auth and not _has_basic_auth(request):
        _check_signature(request, body)
    return body


def _has_basic_auth(request: web.Request) -> bool:
    """Whether the hook is proven by basic auth. Raises ApiError where nothing else could do."""
    security = request.app[CONFIG].security
    if not security.webhook_auth:
        return False
    try:
        basic_auth.verify(request.headers.get("Authorization"), security.webhook_auth)
    except basic_auth.BasicAuthError as error:
        if security.webhook_secrets:
            return False
        raise ApiError(
            ErrorCode.BAD_BASIC_AUTH,
            f"{error}; the calling and the call status webhook must have a user name and password "
            "of JAMBONZ_WEBHOOK_AUTH",
        ) from error
    return True


def _check_signature(request: web.Request, body: bytes) -> None:
    security = request.app[CONFIG].security
    try:
        signature.verify(
            request.headers.get("Jambonz-Signature"),
            body,
            security.webhook_secrets,
            now=request.app[CLOCK]() / 1000,
            tolerance=security.signature_tolerance,
        )
    except signature.SignatureError as error:
        raise ApiError(
            ErrorCode.BAD_SIGNATURE,
            f"{error}; JAMBONZ_WEBHOOK_SECRET must be the account's webhook secret",
        ) from error


async def livekit_body(request: web.Request) -> bytes:
    """The body of a LiveKit webhook or an agent's report, proven by the LiveKit key."""
    check_allowed_address(request, ClientGroup.LIVEKIT)
    body = await read_body(request)
    try:
        request.app[WEBHOOK_VERIFIER].check(request.headers.get("Authorization"), body)
    except ProofError as error:
        raise ApiError(
            ErrorCode.BAD_TOKEN,
            f"{error}; it must be signed with this gateway's LIVEKIT_API_SECRET",
        ) from error
    return body


def require_role(request: web.Request, role: Role) -> str:
    """The name of the visitor's API key, which must have `role`; "" while no key is configured."""
    check_allowed_address(request, ClientGroup.API)
    keys = request.app[CONFIG].security.keys
    if not keys:
        return ""
    offered = _offered_secret(request)
    if not offered:
        raise ApiError(
            ErrorCode.UNAUTHORIZED,
            "send an API key's secret as 'Authorization: Bearer …' or 'X-API-Key: …'",
        )
    found = matching(offered, keys)
    if not found:
        raise ApiError(ErrorCode.UNAUTHORIZED, "this API key is not one that the gateway knows")
    fitting = [key.name for key in found if key.role.includes(role)]
    if not fitting:
        raise ApiError(ErrorCode.FORBIDDEN, f"this API key does not have the role {role}")
    return fitting[0]


def _offered_secret(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("X-API-Key", "")
