"""SIP headers as carriers write them: quotes, brackets, several values, nonsense."""

import pytest

from gateway.calls.sip_headers import (
    header_values,
    parameters_of,
    party_of,
    reason_with_cause,
    release_cause,
)


def test_commas_in_quotes_and_brackets_separate_no_values() -> None:
    header = '"Doe, Joe" <sip:+15550100@pbx.example.com;a=b,c>;x="1,2" , <tel:+15550101>,'
    assert header_values(header) == [
        '"Doe, Joe" <sip:+15550100@pbx.example.com;a=b,c>;x="1,2"',
        "<tel:+15550101>",
    ]


@pytest.mark.parametrize(
    ("address", "party"),
    [
        ('"Zoë" <sip:+61491570156@pbx.example.com:5060;user=phone?x=y>;tag=1', "+61491570156"),
        ("<tel:+1-555-0100;phone-context=example.com>", "+15550100"),
        ("tel:+1(555)0100", "+15550100"),
        ("sip:0491570156@pbx.example.com;tag=1", "0491570156"),
        ('"<sip:fake@evil.example>" <sips:zoe@pbx.example.com>', "sips:zoe@pbx.example.com"),
        ("<undefined>", ""),
        ("anonymous", ""),
        ("", ""),
    ],
)
def test_a_party_is_a_number_or_a_uri(address: str, party: str) -> None:
    assert party_of(address) == party


def test_parameters_lose_their_quotes() -> None:
    value = r'<sip:a@b;reason=no>;REASON="no \"answer\"; yet" ; counter=2'
    assert parameters_of(value) == {"reason": 'no "answer"; yet', "counter": "2"}


@pytest.mark.field("B20")
@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Q.850;cause=18", "Q.850 cause 18"),
        ('Q.850 ;cause=16;text="Normal call clearing"', "Q.850 cause 16, Normal call clearing"),
        ('SIP;cause=480, Q.850;cause=18;text="No, nobody"', "Q.850 cause 18, No, nobody"),
        ('SIP;cause=600;text="Busy Everywhere"', "SIP cause 600, Busy Everywhere"),
        ("Q.850", ""),
        (',;;"', ""),
        ("", ""),
    ],
)
def test_a_release_cause_is_put_into_words(reason: str, words: str) -> None:
    assert release_cause(reason) == words


def test_a_cause_follows_the_reason_phrase() -> None:
    assert reason_with_cause("Busy Here", "Q.850;cause=17") == "Busy Here (Q.850 cause 17)"
    assert reason_with_cause("Busy Here", "") == "Busy Here"
    assert reason_with_cause("", "Q.850;cause=17") == "(Q.850 cause 17)"
