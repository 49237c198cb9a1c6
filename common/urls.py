"""URLs that requests go to: what one must be, and which addresses are private. Pure."""

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

#: The public IPv6 Internet (RFC 4291 §2.4).
_GLOBAL_UNICAST = IPv6Network("2000::/3")
#: Prefixes of IPv6 addresses that contain an IPv4 address: mapped (RFC 4291), NAT64 (RFC 6052).
_CARRIES_IPV4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
#: Addresses that Python may take for public, and where clouds and protocols have services for the
#: machine itself.
_NOT_PUBLIC = (
    IPv4Network("168.63.129.16/32"),  # Azure's wire server, DNS and DHCP
    IPv4Network("192.0.0.0/24"),  # RFC 6890; Oracle's metadata service is 192.0.0.192
    IPv4Network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
    IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
#: No white space, control characters or backslashes: URL parsers disagree about these.
_URL = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,2048}")
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
#: Addresses to inet_aton() that are not four decimal numbers: 127.1, 0x7f000001, 2130706433.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


class UrlRejected(Exception):
    """Requests may not be sent to a URL; the text says why, and what to change."""


def host_of(url: str) -> str:
    """The host of an absolute http(s) URL without credentials: lower case, no trailing dot.

    Raises UrlRejected, also for an IPv4 address that is not four decimal numbers.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
        usable = parts.scheme in {"http", "https"} and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        host, usable = "", False
    if not (usable and _URL.fullmatch(url) and is_host(host, in_brackets="[" in parts.netloc)):
        raise UrlRejected("must be an absolute http(s) URL of at most 2048 ASCII characters")
    return host


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL. Raises UrlRejected."""
    host, parts = host_of(url), urlsplit(url)
    return parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80)


def is_private(host: str) -> bool:
    """Whether `host` is localhost, or an address outside the public Internet."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return not _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if any(address in network for network in _CARRIES_IPV4):
        return _is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address.sixtofour is not None:  # 6to4: Pythons differ about is_global
        return _is_public(address.sixtofour)
    return address.is_global and address in _GLOBAL_UNICAST


def is_host(host: str, *, in_brackets: bool) -> bool:
    """Whether `host`, in lower case, is a name or an address in its usual form."""
    try:
        return (ipaddress.ip_address(host).version == 6) is in_brackets and "%" not in host
    except ValueError:
        named = bool(_NAME.fullmatch(host)) and not _NUMERIC.fullmatch(host)
        return named and not in_brackets


def without_query(url: str) -> str:
    """`url` for logs and views: the query of an n8n resume URL is a secret."""
    return re.split(r"[?#]", url, maxsplit=1)[0]
