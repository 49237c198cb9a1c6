"""Validators of settings that need more than a range or a choice. Pure."""

from datetime import date

from marshmallow import ValidationError

from gateway.jambonz.tones import ringing_tone


def check_date(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValidationError("Must be a date such as 2027-06-30.") from None


def check_ringing_tone(text: str) -> None:
    try:
        ringing_tone(text)
    except ValueError as error:
        raise ValidationError(f"It {error}.") from None
