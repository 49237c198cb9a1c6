"""Whom the gateway may call and transfer to: patterns, emergency numbers, private hosts. Pure."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from common.urls import is_private
from gateway.calls.destinations import Destination

#: Emergency numbers of most countries. Other short numbers may be extensions.
EMERGENCY = frozenset({"000", "112", "911", "999"})

#: Names that are resolved on one machine or network only (RFC 6761, RFC 6762, RFC 8375, ICANN).
_LOCAL_NAMES = (".localhost", ".local", ".internal", ".home.arpa")


class DestinationDenied(Exception):
    """A call or transfer may not go to a destination; the text says why, and what to change."""


def is_allowed(destination: Destination, patterns: Sequence[str]) -> bool:
    """Whether one of `patterns` (`+1555*`, `sip:*@pbx.example.com`) matches."""
    return bool(_matching(destination, patterns))


def check_not_denied(
    destination: Destination, *, allowed: Sequence[str], denied: Sequence[str], setting: str
) -> None:
    """Raise DestinationDenied if `destination` is denied; `setting` has the patterns `allowed`.

    `denied` patterns are always observed. An emergency number is denied unless it is listed in
    `allowed`, without a wildcard; a private host unless a pattern of `allowed` names it.
    """
    if any(_is_denied(destination, pattern) for pattern in denied):
        shown = destination.number_or_uri
        raise DestinationDenied(f"a pattern of outbound.denied matches {shown}")
    matching = _matching(destination, allowed)
    number = destination.user.lstrip("+")
    if number in EMERGENCY and number not in map(_number_of, matching):
        raise DestinationDenied(
            f"{number} is an emergency number: list it in {setting}, without a wildcard"
        )
    if is_local(destination.host) and not any(map(_names_a_host, matching)):
        raise DestinationDenied(
            f"{destination.host} is not a public host: list sip:*@{destination.hostname} in "
            f"{setting}"
        )


def _matching(destination: Destination, patterns: Sequence[str]) -> list[str]:
    return [each for each in patterns if _matches(destination.number_or_uri, each)]


def is_local(host: str) -> bool:
    """Whether `host` is no public address, or a name of this machine or network; "" is not."""
    name = host.strip("[]").removesuffix(".")
    is_single_label = bool(name) and "." not in name and ":" not in name
    return is_single_label or name.endswith(_LOCAL_NAMES) or is_private(name)


def _matches(number_or_uri: str, pattern: str) -> bool:
    """Whether `pattern` (`+1555*`, `sip:*@pbx.example.com`) matches; a host's case is ignored."""
    user, at, host = pattern.rpartition("@")
    # The bracket of an IPv6 address begins no character class.
    host = re.sub(r"^\[", "[[]", host.lower()) if at else host
    return fnmatchcase(number_or_uri, f"{user}{at}{host}")


def _is_denied(destination: Destination, pattern: str) -> bool:
    """As `_matches()`, but neither a port nor a leading + gets around the pattern."""
    if not destination.host:
        return _matches(destination.user.lstrip("+"), pattern.lstrip("+"))
    without_port = f"sip:{destination.user}@{destination.host}"
    return any(_matches(uri, pattern) for uri in (destination.number_or_uri, without_port))


def _number_of(pattern: str) -> str:
    return pattern.partition("@")[0].removeprefix("sip:").lstrip("+")


def _names_a_host(pattern: str) -> bool:
    """Whether the pattern's host part is more than a wildcard."""
    _, at, host = pattern.rpartition("@")
    return bool(at) and bool(re.search(r"[0-9A-Za-z]", host))
