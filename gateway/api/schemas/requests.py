"""What the bodies and queries of API clients have in common: blanks, numbers, texts for SIP.

n8n sends `""` or null for an expression without a value, and a JSON number for a telephone number.
"""

from collections.abc import Callable
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load

from gateway.calls.callers import CONTROL, check_display_name, check_has_value, parse_caller
from gateway.calls.destinations import Destination, parse_destination


class RequestSchema(Schema):
    """Refuses unknown fields; an optional field that is blank or null counts as left out."""

    class Meta:
        unknown = RAISE

    @pre_load
    def leave_out_blanks(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data, dict):
            return data  # a nested field's, which marshmallow refuses
        optional = {
            field.data_key or name for name, field in self.load_fields.items() if not field.required
        }
        return {
            name: value for name, value in data.items() if not (name in optional and _blank(value))
        }


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


class RequestText(fields.String):
    """A text; a JSON integer is taken as its digits."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return super()._deserialize(_digits(value), *args, **kwargs)


def _digits(value: Any) -> Any:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_integer else value


class Number(fields.Field[Destination]):
    """A telephone number or SIP URI to call; a JSON integer is its digits."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Destination:
        text = _digits(value)
        try:
            return parse_destination(text.strip() if isinstance(text, str) else "")
        except ValueError as error:
            raise ValidationError(f"Not a destination: it {error}.") from error


class Caller(RequestText):
    """The user part of the SIP From, without the separators of a number."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            return parse_caller(text)
        except ValueError as error:
            raise ValidationError(str(error)) from error


def check(reject: Callable[[str], None]) -> Callable[[str], None]:
    """A marshmallow validator of a function that raises ValueError."""

    def validator(text: str) -> None:
        try:
            reject(text)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    return validator


def display_name(text: str) -> None:
    """Raise ValueError for what LiveKit does not take as a display name."""
    check_has_value(text)
    check_display_name(text)


def header_text(text: str) -> None:
    """Raise ValueError for a text that could end the SIP header that it stands in."""
    check_has_value(text)
    is_text = 1 <= len(text.strip()) <= 128 and not CONTROL.search(text)
    if not is_text or any(mark in text for mark in '"<>'):
        raise ValueError('Must be 1 to 128 characters, without control characters and " < >.')
