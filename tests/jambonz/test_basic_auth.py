"""Basic auth of Jambonz's hooks, compared with a header that Node encoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.destinations import Credentials
from gateway.jambonz.basic_auth import BasicAuthError, encode, verify

#: Buffer.from('jambonz:hüsh:1', 'utf8').toString('base64') in Node.
NODE_HEADER = "Basic amFtYm9uejpow7xzaDox"
CREDENTIALS = Credentials("jambonz", "hüsh:1")


def test_the_header_is_nodes_and_its_scheme_has_any_case() -> None:
    assert encode(CREDENTIALS) == NODE_HEADER
    verify(NODE_HEADER, [CREDENTIALS])
    verify(NODE_HEADER.replace("Basic", "basic"), [CREDENTIALS])


def test_old_and_new_credentials_are_accepted_while_they_are_rotated() -> None:
    verify(NODE_HEADER, [Credentials("jambonz", "new"), CREDENTIALS])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "no basic auth"),
        ("", "no basic auth"),
        ("Bearer amFtYm9uejpow7xzaDox", "no basic auth"),
        ("Basic", "none of the configured"),
        ("Basic *", "not base64"),
        ("Basic é", "not base64"),
        ("Basic amFtYm9ueg==", "none of the configured"),
        (encode(Credentials("jambonz", "hush")), "none of the configured"),
        (encode(Credentials("jambonz:hüsh", "2")), "none of the configured"),
    ],
)
def test_an_invalid_header_is_rejected(header: str | None, message: str) -> None:
    with pytest.raises(BasicAuthError, match=message):
        verify(header, [CREDENTIALS])


@given(st.text().map("Basic {}".format))
def test_any_other_header_raises_the_same_error(header: str) -> None:
    with pytest.raises(BasicAuthError):
        verify(header, [CREDENTIALS])
