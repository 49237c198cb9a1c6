"""The address a request comes from, and whether it may use the endpoints of its client group."""

from enum import StrEnum

from aiohttp import web

from common.addresses import Address, is_among
from gateway.api.services import SERVICES
from gateway.errors import ApiError, ErrorCode
from gateway.security.addresses import client_address


class ClientGroup(StrEnum):
    """Who an endpoint is for, named as the setting that lists their addresses."""

    JAMBONZ = "jambonz_addresses"
    API = "api_addresses"
    LIVEKIT = "livekit_addresses"


def address_of(request: web.Request) -> Address | None:
    """The client's address, behind `security.trusted_proxies`; None where it cannot be known."""
    trusted = request.app[SERVICES].config.security.trusted_proxies
    forwarded = request.headers.getall("X-Forwarded-For", [])
    return client_address(request.remote, forwarded, trusted)


def check_allowed_address(request: web.Request, group: ClientGroup) -> None:
    """Raises ApiError 403 for an address that the group's setting does not list.

    It runs before the request's body is read. A listed address does not authenticate a client: the
    list only keeps other addresses from trying.
    """
    allowed = getattr(request.app[SERVICES].config.security, group)
    if not allowed:
        return
    address = address_of(request)
    if not is_among(address, allowed):
        named = address or "an address that X-Forwarded-For does not give"
        message = f"{named} is not listed in security.{group} of the gateway"
        raise ApiError(ErrorCode.ADDRESS_NOT_ALLOWED, message)
