"""Basic auth of Jambonz hooks, as Node's Buffer encodes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.destinations import Credentials
from gateway.jambonz.basic_auth import BasicAuthError, encode, verify

#: Buffer.from('jambonz:hüsh:1', 'utf8').toString('base64') in Node.
BY_NODE = "Basic amFtYm9uejpow7xzaDox"
OURS = Credentials("jambonz", "hüsh:1")


def test_agrees_with_node_and_ignores_the_schemes_case() -> None:
    assert encode(OURS) == BY_NODE
    verify(BY_NODE, [OURS])
    verify(BY_NODE.replace("Basic", "basic"), [OURS])


def test_either_counts_while_one_is_rotated() -> None:
    verify(BY_NODE, [Credentials("jambonz", "new"), OURS])


@pytest.mark.parametrize(
    ("header", "why"),
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
def test_refused(header: str | None, why: str) -> None:
    with pytest.raises(BasicAuthError, match=why):
        verify(header, [OURS])


@given(st.text().map("Basic {}".format))
def test_any_header_is_refused_in_the_same_way(header: str) -> None:
    with pytest.raises(BasicAuthError):
        verify(header, [OURS])
