"""Where a request comes from, and whether its group is open to that address at all."""

from enum import StrEnum

from aiohttp import web

from gateway.api.keys import CONFIG
from gateway.errors import ApiError, ErrorCode
from gateway.security.addresses import Address, client_address, is_among


class ClientGroup(StrEnum):
    """Kinds of doors, by the setting that lists who may come to them."""

    JAMBONZ = "jambonz_addresses"
    API = "api_addresses"
    LIVEKIT = "livekit_addresses"


def address_of(request: web.Request) -> Address | None:
    """The client's address, past our own proxies; None where it cannot be known."""
    trusted = request.app[CONFIG].security.trusted_proxies
    forwarded = request.headers.getall("X-Forwarded-For", [])
    return client_address(request.remote, forwarded, trusted)


def check_allowed_address(request: web.Request, group: ClientGroup) -> None:
    """Before anything else of the request is looked at. Raises ApiError 403.

    That an address is on the list proves nothing: it only spares others the try.
    """
    allowed = getattr(request.app[CONFIG].security, group)
    if not allowed:
        return
    address = address_of(request)
    if not is_among(address, allowed):
        seen = address or "an address that X-Forwarded-For does not tell"
        raise ApiError(
            ErrorCode.ADDRESS_NOT_ALLOWED, f"{seen} is not one of security.{group} of the gateway"
        )
