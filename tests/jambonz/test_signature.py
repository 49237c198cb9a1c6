"""The Jambonz-Signature header, compared with a signature that Node made."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jambonz.signature import SignatureError, read, sign

SECRET = "wh_secret_abc"
BODY = '{"caller_name":"Zoë ☎","call_sid":"1"}'.encode()
AT = 1_700_000_000
#: crypto.createHmac('sha256', SECRET).update(`${AT}.${BODY}`).digest('hex') in Node.
NODE_SIGNATURE = "03df66f280654b6738aeb20d0839e2688900fc493398d96b9c56d0c8869e9392"


def verify(
    header: str | None, body: bytes, secrets: Iterable[str], *, now: float, tolerance: float
) -> None:
    read(header, now=now, tolerance=tolerance).check(body, secrets)


def check(header: str | None, *, now: float = AT, secrets: tuple[str, ...] = (SECRET,)) -> None:
    verify(header, BODY, secrets, now=now, tolerance=300)


def test_the_signature_is_nodes() -> None:
    assert sign(BODY, SECRET, at=AT) == f"t={AT},v1={NODE_SIGNATURE}"
    check(f"t={AT},v1={NODE_SIGNATURE}")


def test_old_and_new_secret_are_accepted_while_they_are_rotated() -> None:
    check(sign(BODY, SECRET, at=AT), secrets=("wh_secret_new", SECRET))


def test_one_matching_signature_of_several_in_the_header_is_enough() -> None:
    check(f"t={AT},v1={'0' * 64},v1={NODE_SIGNATURE}")


@pytest.mark.parametrize("now", [AT - 300, AT + 300])
def test_the_tolerance_is_inclusive(now: int) -> None:
    check(sign(BODY, SECRET, at=AT), now=now)


@pytest.mark.field("H9")
@pytest.mark.parametrize(
    ("header", "now", "message"),
    [
        (None, AT, "missing"),
        ("", AT, "missing"),
        ("nonsense", AT, "form"),
        (f"t={AT}", AT, "form"),
        (f"v1={NODE_SIGNATURE}", AT, "form"),
        (f"t={AT},t={AT},v1={NODE_SIGNATURE}", AT, "form"),
        (f"t=-1,v1={NODE_SIGNATURE}", AT, "unix seconds"),
        (f"t=٣,v1={NODE_SIGNATURE}", AT, "unix seconds"),
        (f"t={'9' * 5000},v1={NODE_SIGNATURE}", AT, "unix seconds"),
        (f"t={AT},v1={NODE_SIGNATURE}", AT + 301, "301 s behind this machine's clock"),
        (f"t={AT},v1={NODE_SIGNATURE}", AT - 301, "301 s ahead of this machine's clock"),
        (f"t={AT},v1={'0' * 64}", AT, "another secret"),
        (f"t={AT},v1=ü", AT, "form"),
        (f"t={AT + 1},v1={NODE_SIGNATURE}", AT, "another secret"),
    ],
)
def test_an_invalid_header_is_rejected(header: str | None, now: int, message: str) -> None:
    with pytest.raises(SignatureError, match=message):
        check(header, now=now)


@given(st.one_of(st.text(), st.from_regex(r"(t=[0-9]{0,14}|v1=[0-9a-f]*|,|=){0,8}")))
def test_any_other_header_raises_the_same_error(header: str) -> None:
    with pytest.raises(SignatureError):
        verify(header, BODY, [SECRET], now=AT, tolerance=1e12)


@given(st.binary(), st.text(min_size=1), st.integers(0, 10**11), st.lists(st.text(), max_size=3))
def test_a_signed_body_is_accepted(
    body: bytes, secret: str, at: int, other_secrets: list[str]
) -> None:
    verify(sign(body, secret, at=at), body, [*other_secrets, secret], now=at, tolerance=0)


@given(st.binary(min_size=1), st.integers(0), st.integers(1, 255))
def test_a_change_of_any_byte_is_rejected(body: bytes, place: int, change: int) -> None:
    header = sign(body, SECRET, at=AT)
    place %= len(body)
    changed = body[:place] + bytes([body[place] ^ change]) + body[place + 1 :]
    secret = bytearray(SECRET.encode())
    secret[place % len(secret)] = (secret[place % len(secret)] + 1) % 128
    later = header.replace(f"t={AT}", f"t={AT + change}")
    for a_header, a_body, a_secret in (
        (header, changed, SECRET),
        (header, body, secret.decode()),
        (later, body, SECRET),
    ):
        with pytest.raises(SignatureError, match="another secret"):
            verify(a_header, a_body, [a_secret], now=AT, tolerance=300)
