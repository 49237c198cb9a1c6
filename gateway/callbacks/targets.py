"""Where callbacks may go. Pure: names are resolved elsewhere."""

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit


class TargetRefused(Exception):
    """A callback URL that will not be used; the text says why and what would do."""


def check_target(url: str, allowed_hosts: Sequence[str]) -> None:
    """Refuse what is no usable URL, or points where this gateway must not send.

    With `allowed_hosts` (names, addresses, `*.example.com`) only those; without, any host that is
    not an address of a private network. Raises TargetRefused.
    """
    host = host_of(url)
    if is_allowed(host, allowed_hosts):
        return
    if allowed_hosts:
        raise TargetRefused(f"host {host} is not one of callbacks.allowed_hosts")
    if is_private(host):
        raise TargetRefused(f"{host} is a private address: list it in callbacks.allowed_hosts")


def host_of(url: str) -> str:
    """The host of an absolute http(s) URL without credentials. Raises TargetRefused."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in {"http", "https"} else None
        usable = bool(host) and parts.port != 0 and not parts.username
    except ValueError:
        host, usable = None, False
    if not (host and usable and url.isascii() and len(url) <= 2048):
        raise TargetRefused("must be an absolute http(s) URL of at most 2048 ASCII characters")
    return host


def is_allowed(host: str, allowed_hosts: Sequence[str]) -> bool:
    return any(fnmatchcase(host.lower(), pattern.lower()) for pattern in allowed_hosts)


def is_private(host: str) -> bool:
    """Whether `host` is an address outside the public Internet, or this machine's own name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def without_query(url: str) -> str:
    """`url` for logs and eyes: a resume URL carries its secret in the query."""
    return url.partition("?")[0]
