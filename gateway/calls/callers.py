"""The caller as SIP's From header names it: a user part and a display name. Pure.

What API clients send is refused if it does not fit; what Jambonz sends is made to fit, since no
caller is to be lost for it.
"""

import re

#: What LiveKit takes as a display name and as a header's value, in bytes (livekit/protocol,
#: livekit/sip.go and sip_validation.go).
MAX_DISPLAY_NAME = 128
MAX_HEADER_VALUE = 1024

_FORM = "Must be one SIP user: a number such as +61491570156, or an id such as support-desk."
#: What JavaScript makes of an expression without a value.
_NO_VALUE = frozenset({"undefined", "null", "nan", "[object object]"})
_NO_VALUE_TEXT = "This is what an expression without a value gives: leave the field out."

#: The separators that people write: RFC 3966 §3 (visual-separator), and white space.
_SEPARATORS = re.compile(r"[-.()\s]")
_NUMBER = re.compile(r"\+?[0-9]{2,20}")
#: RFC 3261 §25.1 (user), without the characters that separate parameters elsewhere in a URI.
_USER = re.compile(r"(?:[A-Za-z0-9+_.!~*'()-]|%[0-9A-Fa-f]{2}){1,64}")
#: Control characters, C1 and Unicode's line ends too: some parser may take one for a line's end.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_NAMES = re.compile(rf'["<>\\]|{CONTROL.pattern}')


def parse_caller(text: str) -> str:
    """`text` as a From header's user part; a number loses its separators. Raises ValueError."""
    check_has_value(text)
    number = _SEPARATORS.sub("", text)
    if _NUMBER.fullmatch(number):
        return number
    user = text.strip()
    if _USER.fullmatch(user):
        return user
    raise ValueError(_FORM)


def check_has_value(text: str) -> None:
    """Raise ValueError for the text that an unset expression leaves behind."""
    if text.strip().lower() in _NO_VALUE:
        raise ValueError(_NO_VALUE_TEXT)


def check_display_name(name: str) -> None:
    """Raise ValueError unless LiveKit takes `name` for the display name of a From header."""
    if _NOT_IN_NAMES.search(name):
        raise ValueError('Must not have control characters or any of " < > \\.')
    if len(name.encode()) > MAX_DISPLAY_NAME:
        raise ValueError(f"Must be at most {MAX_DISPLAY_NAME} bytes (UTF-8).")


def plain_user(number: str) -> str:
    """`number`, also a `tel:` URI, as the user part of a From header; "" if it cannot be one."""
    try:
        return parse_caller(re.sub("^tel:", "", number.strip(), flags=re.IGNORECASE))
    except ValueError:
        return ""


def plain_name(name: str) -> str:
    """`name` as a display name: without what it cannot have, and cut to what LiveKit takes."""
    return cut(_NOT_IN_NAMES.sub("", name).strip(), MAX_DISPLAY_NAME)


def cut(text: str, size: int) -> str:
    """As much of `text` as `size` bytes of UTF-8 hold, in whole characters."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")
