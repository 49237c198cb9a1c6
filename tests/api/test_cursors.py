"""A cursor is a position in the list, or the query is refused."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from gateway.api.schemas.listing import ListQuerySchema, write_cursor

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@pytest.mark.field("F5")
@given(JSON | st.tuples(JSON, JSON))
def test_json_of_any_shape(content: Any) -> None:
    _position_or_refused(base64.urlsafe_b64encode(json.dumps(content).encode()).decode())


@pytest.mark.field("F5")
@given(st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode()) | st.text())
def test_any_text(cursor: str) -> None:
    _position_or_refused(cursor)


def _position_or_refused(cursor: str) -> None:
    try:
        position = ListQuerySchema().load({"cursor": cursor}).after
    except ValidationError:
        return
    if position is not None:  # a blank cursor counts as left out
        start, call_id = position
        assert type(start) is int
        assert isinstance(call_id, str)


def test_a_cursor_of_ours() -> None:
    cursor = write_cursor((5, "call-1"))
    assert ListQuerySchema().load({"cursor": cursor}).after == (5, "call-1")
