"""Validators of settings that need more than a range or a choice. Pure."""

from datetime import date

from marshmallow import ValidationError

from gateway.jambonz.tones import ringing_tone

#: Headers of a caller's INVITE that may choose the agent and the account.
SETTING_HEADERS = ("X-Agent-Name", "X-Account-Code")


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


def check_trusted_headers(names: tuple[str, ...]) -> None:
    if not set(names) <= set(SETTING_HEADERS):
        raise ValidationError(f"Each must be one of {', '.join(SETTING_HEADERS)}.")
