"""Which address a request really comes from, and whether it is on a list. Pure.

A proxy appends the address it saw to X-Forwarded-For; whatever stands left of what our own proxies
wrote, anybody can have written.
"""

import re
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")
#: `192.0.2.1:5060`, `[2001:db8::1]:443`, `[2001:db8::1]`.
_WITH_PORT = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<four>[0-9.]+))(?::[0-9]{1,5})?")
#: No address is longer; whatever is need not be looked at.
_LONGEST = 64


def read_network(text: str) -> Network:
    """An address or a network such as 192.0.2.0/24. Raises ValueError that says what is wrong."""
    network = ip_network(text.strip())
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        address = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def read_address(text: str) -> Address | None:
    """An address as a peer or a proxy has it, with or without a port; None for anything else.

    An IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) is the IPv4 address.
    """
    if len(text) > _LONGEST:
        return None
    text = text.strip()
    if found := _WITH_PORT.fullmatch(text):
        text = found["six"] or found["four"]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_among(address: Address | None, networks: Collection[Network]) -> bool:
    """Whether one of `networks` has the address; none has one that is not known."""
    return address is not None and any(address in network for network in networks)


def client_address(
    peer: str | None, forwarded: Sequence[str], trusted: Collection[Network]
) -> Address | None:
    """Who asks: the peer, or, where that is a trusted proxy, whom it asks for.

    `forwarded` are the X-Forwarded-For headers in their order. Read from the right, the first
    address that is not a trusted proxy's is the client; if all are, the left-most is. None, which
    is on no list, where the chain breaks off at something that is no address.
    """
    client = read_address(peer or "")
    if not forwarded or not is_among(client, trusted):
        return client
    for hop in reversed(",".join(forwarded).split(",")):
        client = read_address(hop)
        if not is_among(client, trusted):
            return client
    return client
