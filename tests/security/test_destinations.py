"""Whom the gateway may call: patterns, emergency numbers, private hosts."""

import pytest

from gateway.calls.destinations import parse_destination
from gateway.security.destinations import DestinationDenied, check_not_denied, is_allowed


def is_denied(
    text: str, *, allowed: list[str] | None = None, denied: list[str] | None = None
) -> bool:
    try:
        check_not_denied(
            parse_destination(text),
            allowed=allowed or [],
            denied=denied or [],
            setting="outbound.allowed",
        )
    except DestinationDenied:
        return True
    return False


@pytest.mark.field("B17")
@pytest.mark.parametrize(
    "text",
    [
        *("000", "112", "911", "999", "+112", "tel:911", "sip:112@pbx.example.com"),
        *("sip:x@10.0.0.5:22", "sip:x@169.254.169.254", "sip:x@127.0.0.1", "sip:x@192.168.1.9"),
        *("sip:x@localhost", "sip:x@LOCALHOST.", "sip:x@a.localhost", "sip:x@redis"),
        *("sip:x@pbx.local", "sip:x@metadata.google.internal", "sip:x@nas.home.arpa"),
        *("sip:x@[::1]", "sip:x@[fe80::1]", "sip:x@[fd00::5]", "sip:x@[::ffff:10.0.0.5]"),
        *("sip:x@[::]", "sip:x@0.0.0.0", "sip:x@224.0.0.1", "sip:x@100.64.0.1"),
    ],
)
def test_emergency_numbers_and_private_hosts_are_denied(text: str) -> None:
    assert is_denied(text)
    assert is_denied(text, allowed=["*", "sip:*@*"]), "a wildcard alone allows none of them"


@pytest.mark.field("B17")
@pytest.mark.parametrize(
    "text",
    [
        *("110", "101", "1112", "0112", "+61491570156", "99", "9999", "00011"),
        *("sip:desk@pbx.example.com", "sip:desk@1.1.1.1:5080", "sip:x@[2606:4700::1111]"),
    ],
)
def test_other_numbers_and_public_hosts_are_not(text: str) -> None:
    assert not is_denied(text)


@pytest.mark.field("B17")
@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("112", "112"),
        ("+112", "+112"),
        ("sip:112@pbx.example.com", "sip:112@pbx.example.com"),
        ("sip:x@10.0.0.5:22", "sip:*@10.0.0.5:22"),
        ("sip:x@10.0.0.5", "sip:*@10.*"),
        ("sip:x@localhost", "sip:x@LocalHost"),
        ("sip:x@[fd00::5]:5080", "sip:*@[fd00::5]:*"),
    ],
)
def test_each_can_be_allowed_by_its_name(text: str, pattern: str) -> None:
    assert not is_denied(text, allowed=[pattern])
    assert is_denied(text, allowed=[pattern], denied=[pattern]), "outbound.denied is stronger"


@pytest.mark.field("B17")
@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("+611900123456", "+611900*"),
        ("611900123456", "+611900*"),
        ("+611900123456", "611900*"),
        ("sip:x@evil.example.com:5080", "sip:*@evil.example.com"),
        ("sip:x@EVIL.example.com", "sip:*@Evil.example.com"),
        ("sip:x@203.0.113.9", "sip:*@203.0.113.*"),
    ],
)
def test_a_denied_pattern_is_not_got_around(text: str, pattern: str) -> None:
    assert is_denied(text, denied=[pattern])
    assert not is_denied("+61491570156", denied=[pattern])


@pytest.mark.field("B17")
@pytest.mark.parametrize(
    ("text", "pattern", "matches"),
    [
        ("+15550100", "+1555*", True),
        # A trunk may dial another country without the +.
        ("15550100", "+1555*", False),
        ("sip:a@pbx.example.com", "sip:*@pbx.example.com", True),
        ("sip:a@pbx.example.com:22", "sip:*@pbx.example.com", False),
        ("sip:a@PBX.example.com", "sip:*@pbx.EXAMPLE.com", True),
        ("sip:A@pbx.example.com", "sip:a@pbx.example.com", False),
        ("sip:a@[2001:db8::1]", "sip:*@[2001:db8::1]", True),
        ("sip:a@[2001:db8::2]", "sip:*@[2001:db8::1]", False),
    ],
)
def test_patterns(text: str, pattern: str, *, matches: bool) -> None:
    assert is_allowed(parse_destination(text), [pattern]) is matches
