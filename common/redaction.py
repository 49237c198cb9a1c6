"""Redaction of logs: telephone numbers in the values of fields, secrets in whole lines. Pure.

Fields that hold ids, by their names, are not changed. In all other text a telephone number is seven
or more digits, with the separators that people and URIs use (RFC 3966 §3), unless the digits are
part of an id, an address or a timestamp.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

NUMBER = "[number]"
SECRET = "[secret]"  # noqa: S105 - the placeholder, not a secret

#: Fields that hold ids, timestamps and the like, by name or by the end of the name.
_ID_FIELDS = frozenset(
    {"call_id", "call_sid", "job_id", "timestamp", "level", "room", "task", "version"}
)
_ID_SUFFIXES = ("_id", "_sid", "_at", "_ms", "_timestamp")

#: A secret shorter than this (characters) is redacted only as a whole word: the secret "gate" must
#: not change "gateway".
_MIN_LENGTH_INSIDE_WORDS = 8

_MAYBE_NUMBER = re.compile(r"\d(?:[ ().-]{0,2}\d){6}")
_OTHER_OR_NUMBER = re.compile(
    r"""
      (?P<other>
          [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}   # UUID
        | (?<![A-Za-z0-9])(?:outbound|doctor)-[0-9a-f]{10}       # call ids, which are room names
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
    """`text` with `[number]` in place of each telephone number."""
    if not _MAYBE_NUMBER.search(text):
        return text
    return _OTHER_OR_NUMBER.sub(lambda match: match["other"] or NUMBER, text)


def mask_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A log entry's fields with telephone numbers masked, at any depth."""
    return {
        key: value if type(value) in _PLAIN or _has_no_number(key, value) else _mask(value)
        for key, value in fields.items()
    }


_PLAIN = frozenset({int, float, bool, type(None)})
_find_number = _MAYBE_NUMBER.search


def _has_no_number(key: str, value: object) -> bool:
    """Whether `value` is text without a telephone number, or an id according to `key`.

    An id with a + may contain a number: other applications name their rooms by numbers.
    """
    if type(value) is not str:
        return False
    if key in _ID_FIELDS or key.endswith(_ID_SUFFIXES):
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
    """A function that replaces each secret in a line, plain or encoded, by `[secret]`."""
    # The longest first: one form may be part of another.
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    long = [form for form in forms if len(form) >= _MIN_LENGTH_INSIDE_WORDS]
    short = [re.escape(form) for form in forms if 0 < len(form) < _MIN_LENGTH_INSIDE_WORDS]
    short_words = re.compile(rf"(?<!\w)(?:{'|'.join(short)})(?!\w)") if short else None

    def redact(line: str) -> str:
        for form in long:
            if form in line:
                line = line.replace(form, SECRET)
        return short_words.sub(SECRET, line) if short_words else line

    return redact


def _forms(secret: str) -> set[str]:
    """How `secret` may appear: as configured, its value alone, quoted, percent-encoded, as JSON."""
    values = {secret, secret.removeprefix("whsec_"), secret.partition(": ")[2], unquote(secret)}
    plain = {value.strip() for value in values} - {""}
    encoded = {repr(form)[1:-1] for form in plain} | {quote(form, safe="") for form in plain}
    return {json.dumps(form)[1:-1] for form in plain | encoded} | plain | encoded
