"""The Jambonz signature, against one made by Node."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jambonz.signature import SignatureError, sign, verify

SECRET = "wh_secret_abc"
BODY = '{"caller_name":"Zoë ☎","call_sid":"1"}'.encode()
AT = 1_700_000_000
#: crypto.createHmac('sha256', SECRET).update(`${AT}.${BODY}`).digest('hex') in Node.
BY_NODE = "03df66f280654b6738aeb20d0839e2688900fc493398d96b9c56d0c8869e9392"


def check(header: str | None, *, now: float = AT, secrets: tuple[str, ...] = (SECRET,)) -> None:
    verify(header, BODY, secrets, now=now, tolerance=300)


def test_agrees_with_node() -> None:
    assert sign(BODY, SECRET, at=AT) == f"t={AT},v1={BY_NODE}"
    check(f"t={AT},v1={BY_NODE}")


def test_either_secret_counts_while_one_is_rotated() -> None:
    check(sign(BODY, SECRET, at=AT), secrets=("wh_secret_new", SECRET))


def test_several_candidates_in_one_header() -> None:
    check(f"t={AT},v1={'0' * 64},v1={BY_NODE}")


@pytest.mark.parametrize("now", [AT - 300, AT + 300])
def test_the_tolerance_is_inclusive(now: int) -> None:
    check(sign(BODY, SECRET, at=AT), now=now)


@pytest.mark.parametrize(
    ("header", "now", "why"),
    [
        (None, AT, "missing"),
        ("", AT, "missing"),
        ("nonsense", AT, "form"),
        (f"t={AT}", AT, "form"),
        (f"v1={BY_NODE}", AT, "form"),
        (f"t={AT},t={AT},v1={BY_NODE}", AT, "form"),
        (f"t=-1,v1={BY_NODE}", AT, "unix seconds"),
        (f"t=٣,v1={BY_NODE}", AT, "unix seconds"),
        (f"t={'9' * 5000},v1={BY_NODE}", AT, "unix seconds"),
        (f"t={AT},v1={BY_NODE}", AT + 301, "clock"),
        (f"t={AT},v1={BY_NODE}", AT - 301, "clock"),
        (f"t={AT},v1={'0' * 64}", AT, "none of the configured"),
        (f"t={AT},v1=ü", AT, "form"),
        (f"t={AT + 1},v1={BY_NODE}", AT, "none of the configured"),
    ],
)
def test_refused(header: str | None, now: int, why: str) -> None:
    with pytest.raises(SignatureError, match=why):
        check(header, now=now)


@given(st.one_of(st.text(), st.from_regex(r"(t=[0-9]{0,14}|v1=[0-9a-f]*|,|=){0,8}")))
def test_any_header_proves_or_is_refused(header: str) -> None:
    with pytest.raises(SignatureError):
        verify(header, BODY, [SECRET], now=AT, tolerance=1e12)


@given(st.binary(), st.text(min_size=1), st.integers(0, 10**11), st.lists(st.text(), max_size=3))
def test_what_was_signed_is_proven(body: bytes, secret: str, at: int, others: list[str]) -> None:
    verify(sign(body, secret, at=at), body, [*others, secret], now=at, tolerance=0)


@given(st.binary(min_size=1), st.integers(0), st.integers(1, 255))
def test_any_changed_byte_is_noticed(body: bytes, place: int, change: int) -> None:
    header = sign(body, SECRET, at=AT)
    place %= len(body)
    changed = body[:place] + bytes([body[place] ^ change]) + body[place + 1 :]
    secret = bytearray(SECRET.encode())
    secret[place % len(secret)] = (secret[place % len(secret)] + 1) % 128
    later = header.replace(f"t={AT}", f"t={AT + change}")
    for said, about, known in (
        (header, changed, SECRET),
        (header, body, secret.decode()),
        (later, body, SECRET),
    ):
        with pytest.raises(SignatureError, match="none of the configured"):
            verify(said, about, [known], now=AT, tolerance=300)
