"""Field types for what others write, and what the OpenAPI document says of a field.

An odd value counts as absent, lest a call be lost for it.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields

from gateway.calls.call import TEXT_LIMIT
from gateway.calls.callers import CONTROL


def about(description: str) -> dict[str, str]:
    """A field's metadata, for the OpenAPI document."""
    return {"description": description}


def _plain(text: str, limit: int = TEXT_LIMIT) -> str:
    """`text` without control characters and outer white space, cut to `limit` characters."""
    return CONTROL.sub("", text)[:limit].strip()


class Text(fields.Field[str]):
    """Text from outside, plain; "" for anything else, which never rejects the hook.

    So an unusual number or name (`anonymous`, a URI, nothing) never rejects a call.
    """

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return _plain(value) if isinstance(value, str) else ""


class TextMap(fields.Field[Mapping[str, str]]):
    """An object of short values; values that are not text or numbers are dropped.

    Anything else is an empty object, which never rejects the hook.
    """

    limit = TEXT_LIMIT

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Mapping[str, str]:
        if not isinstance(value, dict):
            return {}
        return {
            key: _plain(str(entry), self.limit)
            for key, entry in value.items()
            if isinstance(entry, str | int | float) and not isinstance(entry, bool)
        }


class SipHeaders(TextMap):
    """The `headers` of the call hook's `sip` object; the rest of the INVITE is ignored.

    History-Info has a URI for each hop, so a header may be longer than other texts.
    """

    limit = 2_000

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Mapping[str, str]:
        headers = value.get("headers") if isinstance(value, dict) else None
        return super()._deserialize(headers, *args, **kwargs)


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
