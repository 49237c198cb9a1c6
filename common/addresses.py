"""IP addresses and networks, as settings, peers and proxies write them. Pure."""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
#: `192.0.2.1:5060`, `[2001:db8::1]:443`, `[2001:db8::1]`.
_WITH_PORT = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<four>[0-9.]+))(?::[0-9]{1,5})?")
#: Longer text is not parsed: no address is that long.
_MAX_LENGTH = 64


def read_network(text: str) -> Network:
    """An address, or a network such as 192.0.2.0/24. Raises ValueError with a readable text."""
    network = ip_network(text.strip())
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        address = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def read_address(text: str) -> Address | None:
    """`text`, an address with or without a port, as peers and proxies write it; else None.

    An IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) is returned as the IPv4 address.
    """
    if len(text) > _MAX_LENGTH:
        return None
    text = text.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match["six"] or match["four"]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_among(address: Address | None, networks: Collection[Network]) -> bool:
    """Whether the address is in one of `networks`; an unknown address (None) is in none."""
    return address is not None and any(address in network for network in networks)
