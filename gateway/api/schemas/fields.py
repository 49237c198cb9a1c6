"""Field types for what others write: they clean a value where rejecting it would lose a call."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from gateway.calls.call import TEXT_LIMIT

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Text(fields.Field[str]):
    """Text from outside: control characters are removed, the rest is cut to TEXT_LIMIT.

    So an unusual number or name (`anonymous`, a URI, nothing) never rejects a call.
    """

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("Must be text.")
        return _CONTROL.sub("", value)[:TEXT_LIMIT].strip()


class TextMap(fields.Field[Mapping[str, str]]):
    """An object of short values, such as headers; values that are objects or arrays are dropped."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise ValidationError("Must be an object.")
        plain = (str, int, float, bool)
        return {
            key: _CONTROL.sub("", str(entry))[:TEXT_LIMIT]
            for key, entry in value.items()
            if isinstance(entry, plain)
        }


class SipHeaders(TextMap):
    """The `headers` of the call hook's `sip` object; the rest of the INVITE is ignored."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise ValidationError("Must be an object.")
        return super()._deserialize(value.get("headers") or {}, *args, **kwargs)


class SipStatus(fields.Field[int | None]):
    """A SIP status, 100 to 699; None for anything else, which never rejects the hook."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int | None:
        digits = str(value)
        number = int(digits) if len(digits) == 3 and digits.isdecimal() else 0
        return number if 100 <= number <= 699 else None


class Seconds(fields.Field[int]):
    """A duration in s, at most a day; 0 for anything else, which never rejects the hook."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        seconds = int(value) if str(value).isdecimal() and len(str(value)) < 7 else 0
        return min(seconds, 86_400)


def text() -> Text:
    return Text(load_default="", allow_none=True)
