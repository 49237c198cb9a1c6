"""Where a call or a transfer goes: a telephone number, or a `tel:` or `sip:` URI. Pure."""

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

_FORMS = "must be digits (61491570156), E.164 (+61491570156), tel:+61491570156 or sip:user@host"

_DIGITS = re.compile(r"\+?[0-9]{2,20}")
# RFC 3261 §25.1, without passwords, parameters and headers: those are configured at the trunk.
_SIP = re.compile(
    r"sip:(?P<user>[A-Za-z0-9._~+*#-]{1,64})@"
    r"(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?P<port>:\d{1,5})?",
    re.IGNORECASE,
)
_PORTS = range(1, 65_536)
#: Hosts that inet_aton() takes for an address: 127.1, 0x7f000001, 2130706433.
_NUMERIC_HOST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Destination:
    """`text` is what was given. `user` is dialed at `hostname`, or through a trunk without one.

    `hostname` is `host` with the port, if the URI has one.
    """

    text: str
    user: str
    hostname: str = ""
    host: str = ""

    @property
    def number_or_uri(self) -> str:
        """The telephone number without `tel:`, or the SIP URI."""
        return f"sip:{self.user}@{self.hostname}" if self.hostname else self.user


@dataclass(frozen=True, slots=True)
class FallbackTarget:
    """Where a caller goes instead of the agent: exactly one of `sip`, `phone`, `play`, `say`.

    `sip` is a URI, `play` a recording's URL, `say` a text to speak. `trunk` is the Jambonz carrier
    for `phone`; without it Jambonz picks one. Fallbacks and transfers use it.
    """

    sip: str = ""
    phone: str = ""
    trunk: str = ""
    play: str = ""
    say: str = ""

    def __str__(self) -> str:
        # A recording's URL may be signed: it is not for logs.
        return self.sip or self.phone or ("play" if self.play else "say")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password, for SIP digest (RFC 3261 §22) or HTTP basic auth (RFC 7617)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DialOptions:
    """How long the callee may ring, and how long the call may last (both in s).

    `ringing_tone` is what the caller hears meanwhile: a tone or a recording's URL, "" for silence.
    `srtp_encryption` is how the callee's media is encrypted: `none`, or `sdes` (RFC 4568).
    """

    ringing_timeout: int
    max_duration: int
    ringing_tone: str = ""
    srtp_encryption: str = "none"


def parse_destination(text: str) -> Destination:
    """`text` as a destination; a number keeps its `+` or its lack of one. Raises ValueError."""
    number = re.sub("^tel:", "", text, flags=re.IGNORECASE)
    if _DIGITS.fullmatch(number):
        return Destination(text, number)
    match = _SIP.fullmatch(text)
    if match and _is_host(match["host"]) and int((match["port"] or ":5060")[1:]) in _PORTS:
        # RFC 3261 §25.1: a # in a user part is escaped.
        user = match["user"].replace("#", "%23")
        host = match["host"].lower()
        return Destination(text, user, host + (match["port"] or ""), host)
    raise ValueError(_FORMS)


def _is_host(host: str) -> bool:
    """Whether `host` is a name or an address; an IPv4 address is four decimal numbers."""
    try:
        if host.startswith("["):
            IPv6Address(host[1:-1])
        elif _NUMERIC_HOST.fullmatch(host):
            IPv4Address(host.removesuffix("."))
    except ValueError:
        return False
    return True
