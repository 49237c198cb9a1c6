"""The caller in a SIP From: what is refused, and what Jambonz's callers are made to fit."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.callers import check_display_name, cut, parse_caller, plain_name, plain_user

#: RFC 3261 §25.1, `user`.
USER = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]|%[0-9A-Fa-f]{2})+")


@pytest.mark.field("B8")
@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("+61 123 456 789", "+61123456789"),
        ("(02) 1234-5678", "0212345678"),
        ("+61.491.570.156", "+61491570156"),
        ("+61\u00a0491\u202f570\u2009156", "+61491570156"),
        (" 61491570156 ", "61491570156"),
        ("LiveKitNehosHosted", "LiveKitNehosHosted"),
        ("support-desk", "support-desk"),
        ("anna.smith", "anna.smith"),
        ("desk%20one", "desk%20one"),
    ],
)
def test_a_caller_is_one_user_part(text: str, user: str) -> None:
    assert parse_caller(text) == user
    assert plain_user(text) == user


@pytest.mark.field("B8")
@pytest.mark.parametrize(
    "text",
    [
        "anonymous@evil.example.com;tag=zz",
        "anonymous;tag=zz",
        "a\\b",
        "a b",
        "tel:+61491570156;phone-context=example.com",
        "tel:anna@example.com",
        "sip:anna@example.com",
        "[object Object]",
        "undefined",
        "null",
        "NaN",
        "a\r\nX-Evil: 1",
        '"Anna" <sip:a',
        "%zz",
        "ä",
        "٣٣٣",
        "x" * 65,
        "",
    ],
)
def test_what_is_no_user_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Must be one SIP user|without a value"):
        parse_caller(text)
    assert plain_user(text) == ""


@pytest.mark.field("B8")
def test_a_tel_uri_is_no_user_part_and_loses_no_caller() -> None:
    with pytest.raises(ValueError, match="Must be one SIP user"):
        parse_caller("tel:+61491570156")
    assert plain_user("tel:+61491570156") == plain_user("TEL:+61-491-570-156") == "+61491570156"


@given(st.text(max_size=80))
def test_nothing_else_reaches_the_from_header(text: str) -> None:
    user = plain_user(text)
    assert user == "" or (USER.fullmatch(user) and len(user) <= 64)


@pytest.mark.field("B9")
@pytest.mark.parametrize(
    "name", ["ü" * 65, "😀" * 33, "ACME\\Sales", 'Anna "A"', "<anna>", "a\nb", "a\x85b"]
)
def test_a_display_name_that_livekit_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Must"):
        check_display_name(name)
    made_to_fit = plain_name(name)
    check_display_name(made_to_fit)
    assert made_to_fit


@pytest.mark.field("B9")
@pytest.mark.parametrize("name", ["ü" * 64, "😀" * 32, "LiveKit Nehos Hosted", "O'Neil & Söhne"])
def test_a_display_name_that_fits_stays_as_it_is(name: str) -> None:
    check_display_name(name)
    assert plain_name(name) == name


@given(st.text(max_size=200), st.integers(0, 128))
def test_a_text_is_cut_at_a_character(text: str, size: int) -> None:
    shorter = cut(text, size)
    assert len(shorter.encode()) <= size
    assert text.encode(errors="replace").decode().startswith(shorter)
