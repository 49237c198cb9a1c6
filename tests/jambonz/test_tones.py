"""What callers hear while it rings: a country's tone, a URL, or nothing."""

import re
from pathlib import Path

import pytest

from gateway.jambonz.tones import COUNTRIES, ringing_tone

#: Two segments at most: ms on, ms off, one or two frequencies in Hz (FreeSWITCH's tone_stream).
TONE = re.compile(r"tone_stream://(%\(\d+,\d+,\d+(,\d+)?\);){1,2}loops=-1")


@pytest.mark.field("J1")
@pytest.mark.parametrize("country", COUNTRIES)
def test_a_countrys_tone_is_repeated_until_somebody_answers(country: str) -> None:
    assert TONE.fullmatch(ringing_tone(country))
    assert ringing_tone(country.upper()) == ringing_tone(country)


@pytest.mark.field("J1")
@pytest.mark.parametrize(
    ("setting", "played"),
    [
        ("us", "tone_stream://%(2000,4000,440,480);loops=-1"),
        ("none", ""),
        ("tone_stream://%(1000,2000,425);loops=-1", "tone_stream://%(1000,2000,425);loops=-1"),
        ("https://example.com/ringing.wav", "https://example.com/ringing.wav"),
    ],
)
def test_a_setting_is_what_jambonz_plays(setting: str, played: str) -> None:
    assert ringing_tone(setting) == played


def test_the_docs_list_the_countries() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f" {', '.join(COUNTRIES)};" in " ".join(docs.split())


@pytest.mark.parametrize("setting", ["", "xx", "australia", "/srv/a.wav", "ftp://example.com/a"])
def test_any_other_setting_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=r"must be a country \(at, au, .*\), none, tone_stream"):
        ringing_tone(setting)
