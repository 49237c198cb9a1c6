"""The client's address behind trusted proxies, and whether it is on a list. Pure.

Each proxy appends the address of its peer to X-Forwarded-For. What stands left of the entries that
trusted proxies added may have been forged by the client.
"""

import re
from collections.abc import Collection, Sequence

from common.addresses import Address, Network, is_among, read_address


def is_loopback(authority: str) -> bool:
    """Whether a URL's host, with or without a port, is this machine by its name or address."""
    name = re.sub(r":[0-9]{1,5}\Z", "", authority.lower()).removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = read_address(authority)
    return address is not None and address.is_loopback


def client_address(
    peer: str | None, forwarded: Sequence[str], trusted: Collection[Network]
) -> Address | None:
    """The client's address: the peer's, or, if the peer is a trusted proxy, the forwarded one.

    `forwarded` are the X-Forwarded-For headers in their order. Read from the right, the first
    address that is not a trusted proxy's is the client's; if all are proxies', the leftmost is.
    None if the peer or the entry reached this way is not an address.
    """
    client = read_address(peer or "")
    if not forwarded or not is_among(client, trusted):
        return client
    for hop in reversed(",".join(forwarded).split(",")):
        client = read_address(hop)
        if not is_among(client, trusted):
            return client
    return client
