"""Which texts are destinations, and what is dialed for them."""

import pytest

from gateway.calls.destinations import parse_destination


@pytest.mark.parametrize(
    ("text", "user", "hostname", "number_or_uri"),
    [
        ("61491570156", "61491570156", "", "61491570156"),
        ("tel:+61491570156", "+61491570156", "", "+61491570156"),
        ("sip:desk@PBX.example.com", "desk", "pbx.example.com", "sip:desk@pbx.example.com"),
        ("SIP:a@192.0.2.7:5080", "a", "192.0.2.7:5080", "sip:a@192.0.2.7:5080"),
        ("sip:a@[2001:DB8::7]:5080", "a", "[2001:db8::7]:5080", "sip:a@[2001:db8::7]:5080"),
        # RFC 3261 §25.1: # is no character of a user part.
        ("sip:*98#@pbx.example.com", "*98%23", "pbx.example.com", "sip:*98%23@pbx.example.com"),
    ],
)
def test_destinations(text: str, user: str, hostname: str, number_or_uri: str) -> None:
    destination = parse_destination(text)
    assert destination.text == text
    assert (destination.user, destination.hostname) == (user, hostname)
    assert destination.number_or_uri == number_or_uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "+",
        "anonymous",
        "undefined",
        "[object Object]",
        "+61 491 570 156",
        "tel:112;phone-context=+61",
        "sip:a",
        "sip:@example.com",
        "sip:a:secret@example.com",
        "sip:a@example.com;transport=tcp",
        "sip:a@example.com?X-Evil=1",
        "sip:a@example.com:0",
        "sip:a@example.com:99999",
        "sip:a\r\nX-Evil: 1@example.com",
        "sip:a@2130706433",
        "sip:a@0x7f000001",
        "sip:a@127.1",
        "sip:a@0177.0.0.1",
        "sip:a@[127.0.0.1]",
        "sip:a@[::g]",
        "sips:a@example.com",
    ],
)
@pytest.mark.field("B8", "B17")
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(ValueError, match="must be digits"):
        parse_destination(text)
