"""Which URLs and addresses callbacks may be sent to, by the settings. Pure.

Host names are looked up by callbacks/sender.py, which asks the policy about each address.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gateway.security.addresses import Network, is_among, read_address, read_network
from gateway.security.callback_urls import (
    CallbackUrlRejected,
    is_host,
    is_private,
    origin_of,
)

#: `host`, `host:port`, `http://host`, `https://host:port`, `[2001:db8::1]:443`.
_ENTRY = re.compile(
    r"(?:(?P<scheme>https?)://)?(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^\[\]:/]+))"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """An entry of callbacks.allowed_hosts: a name's `pattern`, or the `network` of addresses.

    `scheme` "" is either, `port` 0 is every one.
    """

    pattern: str = ""
    network: Network | None = None
    scheme: str = ""
    port: int = 0

    def matches(self, scheme: str, host: str, port: int) -> bool:
        if self.scheme not in {"", scheme} or self.port not in {0, port}:
            return False
        if self.network:
            return is_among(read_address(host), [self.network])
        return fnmatchcase(host, self.pattern)


def read_allowed_host(text: str) -> AllowedHost:
    """Raises ValueError with a readable text."""
    try:
        return AllowedHost(network=read_network(text))
    except ValueError as error:
        match = _ENTRY.fullmatch(text.strip())
        port = int(match["port"] or 0) if match else 0
        if not match or port > 65535 or ("/" in text and "://" not in text):
            raise ValueError(f"{text} is none of these: {error}") from None
    host = (match["six"] or match["host"]).lower().removesuffix(".")
    scheme = (match["scheme"] or "").lower()
    if address := read_address(host):
        return AllowedHost(network=read_network(str(address)), scheme=scheme, port=port)
    # A pattern is a host name in which something may stand for *.
    if match["six"] or not is_host(host.replace("*", "x"), in_brackets=False):
        raise ValueError(f"{text} has no host name")
    return AllowedHost(pattern=host, scheme=scheme, port=port)


class CallbackPolicy:
    """`urls` are those of callbacks.urls, which are used for every call's callbacks."""

    def __init__(self, urls: Collection[str], allowed_hosts: Collection[AllowedHost]) -> None:
        self._urls = frozenset(urls)
        self._allowed = tuple(allowed_hosts)
        self._has_networks = any(entry.network for entry in allowed_hosts)

    def trusts(self, url: str) -> bool:
        """Whether the settings name the URL, or its host by name: any address will do then.

        Raises CallbackUrlRejected.
        """
        origin = origin_of(url)
        return url in self._urls or any(
            entry.pattern and entry.matches(*origin) for entry in self._allowed
        )

    def check(self, url: str) -> None:
        """Raise CallbackUrlRejected unless `url` is usable and its host may be allowed.

        A name may be looked up after this, and each of its addresses has to be permitted.
        """
        scheme, host, port = origin_of(url)
        if self.trusts(url):
            return
        if read_address(host):
            self.check_address(host, host, port, scheme=scheme)
        elif self._allowed and not self._has_networks:
            raise CallbackUrlRejected(f"host {host} is not one of callbacks.allowed_hosts")
        elif is_private(host) and not self._has_networks:
            raise _is_private(host)

    def check_address(self, host: str, address: str, port: int, *, scheme: str = "") -> None:
        """Raise CallbackUrlRejected unless `address`, which `host` has, is permitted."""
        if self._allowed:
            if not any(
                entry.network and entry.matches(scheme, address, port) for entry in self._allowed
            ):
                raise CallbackUrlRejected(f"host {host} is not one of callbacks.allowed_hosts")
        elif is_private(address):
            raise _is_private(host)


def _is_private(host: str) -> CallbackUrlRejected:
    return CallbackUrlRejected(
        f"{host} is in a private network; to allow it, list it in callbacks.allowed_hosts"
    )
