"""Entries of allowed_hosts: names, patterns, origins and networks. Pure."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from common.addresses import Network, is_among, read_address, read_network
from common.urls import is_host

#: `host`, `host:port`, `http://host`, `https://host:port`, `[2001:db8::1]:443`.
_ENTRY = re.compile(
    r"(?:(?P<scheme>https?)://)?(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^\[\]:/]+))"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class AllowedHost:
    """An entry of allowed_hosts: a name's `pattern`, or the `network` of addresses.

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
