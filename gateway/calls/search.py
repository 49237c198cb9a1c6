"""How numbers are compared, and what a search finds a call by. Pure."""

import re

from gateway.calls.call import Call

#: The shortest text to search for, in characters: shorter ones are in nearly every call.
SHORTEST_SEARCH = 3
LONGEST_SEARCH = 64
#: What people and carriers write into a number, and what no search depends on.
_DECORATION = re.compile(r"[+\s]")


def comparable(number: str) -> str:
    """A telephone number's digits, without + and blanks; any other text as it is."""
    digits = _DECORATION.sub("", number.removeprefix("tel:"))
    return digits if digits.isdecimal() else number


def searched(text: str) -> str:
    """The form in which a search text is compared with `search_text()`."""
    return _DECORATION.sub("", text).casefold()


def search_text(call: Call) -> str:
    """Both numbers and the id, apart by a blank, which no search text contains."""
    return " ".join(searched(part) for part in (call.from_number, call.to_number, call.call_id))
