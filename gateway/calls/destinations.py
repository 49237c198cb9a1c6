"""Where a call may go: bare digits, +E.164, `tel:` or `sip:`. Pure."""

import re
from dataclasses import dataclass, field

ALLOWED = "must be digits (61402012298), E.164 (+61402012298), tel:+61402012298 or sip:user@host"

_DIGITS = re.compile(r"\+?[0-9]{2,20}")
# RFC 3261 §25.1, less passwords, parameters and headers: those are the trunk's business.
_SIP = re.compile(
    r"sip:(?P<user>[A-Za-z0-9._~+*#-]{1,64})@(?P<host>[A-Za-z0-9.-]{1,253}(:\d{1,5})?)"
)


#: What is taken into a From header of somebody else's number or name without a second thought.
_PLAIN_USER = re.compile(r"[A-Za-z0-9+._~-]{1,64}")
_SPECIAL = re.compile(r'["<>\\\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class Destination:
    """`text` as given; `user` is dialed, through the trunk or, if given, straight to `hostname`."""

    text: str
    user: str
    hostname: str = ""

    @property
    def named(self) -> str:
        """The number, or the SIP URI: without `tel:`."""
        return self.text if self.hostname else self.user


@dataclass(frozen=True, slots=True)
class FallbackTarget:
    """Where a caller goes when no agent can be had: exactly one of `sip`, `phone`, `say`.

    `trunk` is the Jambonz carrier for `phone`; without it Jambonz picks one. A call is also handed
    on to one of these.
    """

    sip: str = ""
    phone: str = ""
    trunk: str = ""
    say: str = ""

    def __str__(self) -> str:
        return self.sip or self.phone or "say"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password: for SIP digest (RFC 3261 §22), or for basic auth (RFC 7617)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DialLimits:
    """`ring_timeout`: how long the far end may ring; `max_duration`: the longest call (both s)."""

    ringing_timeout: int
    max_duration: int


def parse_destination(text: str) -> Destination:
    """Digits are sent as given, without adding or dropping a `+`. Raises ValueError."""
    number = text.removeprefix("tel:")
    if _DIGITS.fullmatch(number):
        return Destination(text, number)
    match = _SIP.fullmatch(text)
    if match:
        return Destination(text, match["user"], match["host"])
    raise ValueError(ALLOWED)


def plain_user(number: str) -> str:
    """`number` if it can stand as the user of a SIP URI as it is, else ""."""
    return number if _PLAIN_USER.fullmatch(number) else ""


def plain_name(name: str) -> str:
    """`name` without what has a meaning in a SIP display name (RFC 3261 §25.1)."""
    return _SPECIAL.sub("", name).strip()
