"""Which hosts tools and lookups may ask: public ones, and those that agents.yaml allows. Pure."""

import re
from collections.abc import Iterable
from typing import Self

from common.addresses import read_address
from common.allowed_hosts import AllowedHost, read_allowed_host
from common.urls import UrlRejected, is_private, origin_of


class HostPolicy:
    """`allowed` are the hosts besides public ones, as in the gateway's callbacks.allowed_hosts."""

    def __init__(self, allowed: Iterable[AllowedHost] = ()) -> None:
        self._allowed = tuple(allowed)
        self._has_networks = any(entry.network for entry in self._allowed)

    @classmethod
    def reading(cls, allowed_hosts: Iterable[str]) -> Self:
        """Raises ValueError with a readable text."""
        return cls(read_allowed_host(entry) for entry in allowed_hosts)

    def trusts(self, url: str) -> bool:
        """Whether `url`'s host is allowed by name: any address will do then. Raises UrlRejected."""
        origin = origin_of(url)
        return any(entry.pattern and entry.matches(*origin) for entry in self._allowed)

    def check(self, url: str) -> None:
        """Raise UrlRejected unless `url` is usable and its host may be allowed.

        A name is looked up after this, and each of its addresses has to be permitted.
        """
        scheme, host, port = origin_of(url)
        if not is_private(host) or self.trusts(url):
            return
        is_name = read_address(host) is None  # localhost, whose addresses are not known yet
        if not (self._has_networks if is_name else self._permits(scheme, host, port)):
            raise _private(host, "is")

    def check_address(self, host: str, address: str, port: int) -> None:
        """Raise UrlRejected unless `address`, which `host` has, is permitted."""
        if is_private(address) and not self._permits("", address, port):
            raise _private(host, "has")

    def _permits(self, scheme: str, address: str, port: int) -> bool:
        return any(e.network and e.matches(scheme, address, port) for e in self._allowed)

    def problem(self, url: str) -> str:
        """What is wrong with the URL of a tool or a lookup; "" if nothing is.

        What only `{{variables}}` tell is checked before each request, when they are known.
        """
        if url.lstrip().startswith("{{"):
            return ""
        try:
            self.check(re.sub(r"\{\{.*?\}\}", "x", url))
        except UrlRejected as error:
            return str(error)
        return ""


def _private(host: str, verb: str) -> UrlRejected:
    return UrlRejected(f"{host} {verb} a private address: name it in allowed_hosts")
