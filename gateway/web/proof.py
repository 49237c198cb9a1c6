"""Who is asking, and may they: the proof each kind of visitor brings."""

import hmac

from aiohttp import web

from gateway.errors import ApiError
from gateway.jambonz import signature
from gateway.livekit.webhooks import ProofError
from gateway.settings import Role
from gateway.web.keys import CLOCK, CONFIG, PROOF
from gateway.web.load import read_body


async def jambonz_body(request: web.Request) -> bytes:
    """The body of a Jambonz hook, its signature checked where a secret is configured."""
    body = await read_body(request)
    security = request.app[CONFIG].security
    if security.webhook_secrets:
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
                401,
                "bad_signature",
                f"{error}; JAMBONZ_WEBHOOK_SECRET must be the account's webhook secret",
            ) from error
    return body


async def livekit_body(request: web.Request) -> bytes:
    """The body of a LiveKit webhook or an agent's report, proven by the LiveKit key."""
    body = await read_body(request)
    try:
        request.app[PROOF].check(request.headers.get("Authorization"), body)
    except ProofError as error:
        raise ApiError(
            401, "bad_token", f"{error}; it must be signed with this gateway's LIVEKIT_API_SECRET"
        ) from error
    return body


def require(request: web.Request, role: Role) -> str:
    """The name of the visitor's API key, which must have `role`; "" while no key is configured."""
    keys = request.app[CONFIG].security.api_keys
    if not keys:
        return ""
    offered = _offered_secret(request)
    if not offered:
        raise ApiError(
            401,
            "unauthorized",
            "send one of GATEWAY_API_KEYS as 'Authorization: Bearer …' or 'X-API-Key: …'",
        )
    # No short cut: all are compared, so timing tells nothing about which one is close.
    # Bytes that are no UTF-8 come as surrogates (PEP 383).
    given = offered.encode(errors="surrogateescape")
    matching = [k for k in keys if hmac.compare_digest(k.secret.encode(), given)]
    if not matching:
        raise ApiError(401, "unauthorized", "this API key is not one of GATEWAY_API_KEYS")
    fitting = [key.name for key in matching if key.role in {role, Role.DISPATCH}]
    if not fitting:
        raise ApiError(403, "forbidden", f"this API key does not have the role {role}")
    return fitting[0]


def _offered_secret(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("X-API-Key", "")
