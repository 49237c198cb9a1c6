"""Where a call or a transfer goes: a telephone number, or a `tel:` or `sip:` URI. Pure."""

import re
from dataclasses import dataclass, field

_FORMS = "must be digits (61491570156), E.164 (+61491570156), tel:+61491570156 or sip:user@host"

_DIGITS = re.compile(r"\+?[0-9]{2,20}")
# RFC 3261 §25.1, without passwords, parameters and headers: those are configured at the trunk.
_SIP = re.compile(
    r"sip:(?P<user>[A-Za-z0-9._~+*#-]{1,64})@(?P<host>[A-Za-z0-9.-]{1,253}(:\d{1,5})?)"
)

#: What a caller's number may consist of to be the user part of a From header.
_PLAIN_USER = re.compile(r"[A-Za-z0-9+._~-]{1,64}")
_SPECIAL = re.compile(r'["<>\\\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class Destination:
    """`text` is what was given. `user` is dialed at `hostname`, or through a trunk without one."""

    text: str
    user: str
    hostname: str = ""

    @property
    def number_or_uri(self) -> str:
        """The telephone number without `tel:`, or the SIP URI."""
        return self.text if self.hostname else self.user


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
    """

    ringing_timeout: int
    max_duration: int
    ringing_tone: str = ""


def parse_destination(text: str) -> Destination:
    """`text` as a destination; a number keeps its `+` or its lack of one. Raises ValueError."""
    number = text.removeprefix("tel:")
    if _DIGITS.fullmatch(number):
        return Destination(text, number)
    match = _SIP.fullmatch(text)
    if match:
        return Destination(text, match["user"], match["host"])
    raise ValueError(_FORMS)


def plain_user(number: str) -> str:
    """`number` if it needs no escaping as the user part of a SIP URI, else ""."""
    return number if _PLAIN_USER.fullmatch(number) else ""


def plain_name(name: str) -> str:
    """`name` without characters that are special in a SIP display name (RFC 3261 §25.1)."""
    return _SPECIAL.sub("", name).strip()
