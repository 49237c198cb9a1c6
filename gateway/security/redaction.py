"""What must not stand in a log: telephone numbers, masked in values, and secrets, in whole lines.

Pure. Values are looked at by their key: ids stay as they are; all else is text, in which a number
is seven digits or more with what people and URIs put between them (RFC 3966 §3), unless it is part
of something else: an id, an address, a moment.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

NUMBER = "[number]"
SECRET = "[secret]"  # noqa: S105 - what stands in its place

#: Fields that hold ids, moments and the like, besides those that end in one of `_ID_ENDS`.
_IDS = frozenset({"call_id", "call_sid", "job_id", "timestamp", "level", "room", "task", "version"})
_ID_ENDS = ("_id", "_sid", "_at", "_ms", "_timestamp")

#: A shorter secret is left out only as a whole word: "gate" must not eat "gateway".
_WORDLESS = 8

_SOME_NUMBER = re.compile(r"\d(?:[ ().-]{0,2}\d){6}")
_KEPT_OR_NUMBER = re.compile(
    r"""
      (?P<kept>
          [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}   # UUID
        | (?<![A-Za-z0-9])(?:outbound|doctor)-[0-9a-f]{10}       # our rooms
        | \b(?:19|20)\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.\d+)?)?
        | \b\d\d:\d\d:\d\d(?:\.\d+)?
        | (?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])             # IPv4
        | (?<![\d.])0\.\d+(?![\d.])
      )
    | (?:\+|%2B|(?<![A-Za-z0-9]))\(?\d(?:[ ().-]{0,2}\d){6,20}(?![A-Za-z0-9])
    """,
    re.VERBOSE,
)


def mask_text(text: str) -> str:
    """`text` with `[number]` for each telephone number."""
    if not _SOME_NUMBER.search(text):
        return text
    return _KEPT_OR_NUMBER.sub(lambda found: found["kept"] or NUMBER, text)


def mask_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A log line's fields, at any depth, without telephone numbers."""
    return {
        key: value if type(value) in _PLAIN or _is_harmless(key, value) else _mask(value)
        for key, value in fields.items()
    }


_PLAIN = frozenset({int, float, bool, type(None)})
_find_number = _SOME_NUMBER.search


def _is_harmless(key: str, value: object) -> bool:
    """Whether it is a text without a number, or an id by its key.

    Others' rooms are named by numbers too, with their +.
    """
    if type(value) is not str:
        return False
    if key in _IDS or key.endswith(_ID_ENDS):
        return "+" not in value
    return not _find_number(value)


def _mask(value: Any) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return mask_fields(value)
    if isinstance(value, Collection) and not isinstance(value, bytes | bytearray):
        return [entry if type(entry) in _PLAIN else _mask(entry) for entry in value]
    return mask_text(repr(value))


def without_secrets(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that puts `[secret]` where a line has one, as it is or as encodings have it."""
    forms = {form for secret in secrets for form in _forms(secret)}
    # The longest first: one may be part of another.
    whole = sorted((form for form in forms if len(form) >= _WORDLESS), key=len, reverse=True)
    words = "|".join(
        re.escape(form)
        for form in sorted(forms, key=len, reverse=True)
        if 0 < len(form) < _WORDLESS
    )
    word = re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None

    def hide(line: str) -> str:
        for form in whole:
            if form in line:
                line = line.replace(form, SECRET)
        return word.sub(SECRET, line) if word else line

    return hide


def _forms(secret: str) -> set[str]:
    """How a secret may be written: alone or in what it is set with, quoted, percent-encoded."""
    alone = {secret, secret.removeprefix("whsec_"), secret.partition(": ")[2], unquote(secret)}
    written = {form.strip() for form in alone} - {""}
    quoted = {repr(form)[1:-1] for form in written} | {quote(form, safe="") for form in written}
    return {json.dumps(form)[1:-1] for form in written | quoted} | written | quoted
