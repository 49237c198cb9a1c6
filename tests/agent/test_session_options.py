"""The JSON Schema of `session_options`: the agent's model, as both packages ship it."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent.profiles.options import OptionsInvalid, SessionOptions, read_options
from agent.profiles.options_schema import options_schema
from gateway.api.session_options import _CONDITIONS, check_session_options
from gateway.errors import ApiError

#: Valid and not, for any field.
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 700),
    st.floats(-1, 30),
    st.sampled_from(["", "de", "vad", "stt", "none", "hang_up", "a b", "x" * 20_001]),
    st.lists(st.sampled_from(["a", "", 3]), max_size=2),
    st.dictionaries(
        st.sampled_from(["name", "a b", "after", "min_delay", "before", "timeout", "action"]),
        st.none() | st.booleans() | st.integers(-1, 30) | st.sampled_from(["none", "", "a", []]),
        max_size=2,
    ),
)
OPTIONS = st.dictionaries(
    st.sampled_from([*SessionOptions.model_fields, "llm"]), VALUES, max_size=3
)


@pytest.mark.parametrize("package", ["agent.profiles", "gateway.api.schemas"])
def test_both_ship_what_make_docs_writes(package: str) -> None:
    shipped = files(package).joinpath("session_options.json").read_text()
    assert json.loads(shipped) == options_schema()
    assert shipped == json.dumps(options_schema(), indent=2, ensure_ascii=False) + "\n"


def test_the_gateway_has_words_for_each_of_its_conditions() -> None:
    Draft202012Validator.check_schema(options_schema())
    conditions = {it for schema in _schemas(options_schema()) for it in schema}
    descriptive = {"$schema", "description", "properties", "items"}
    special = {"type", "enum", "additionalProperties", "propertyNames"}
    assert conditions <= descriptive | special | _CONDITIONS.keys()


def _schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    inner = [schema.get(key) for key in ("items", "additionalProperties", "propertyNames")]
    for it in (*schema.get("properties", {}).values(), *inner):
        if isinstance(it, dict):
            yield from _schemas(it)


@settings(deadline=None)
@given(OPTIONS)
def test_the_gateway_takes_what_the_agent_takes(options: dict[str, Any]) -> None:
    assert _gateway_takes(options) is _agent_takes(options)


def _gateway_takes(options: dict[str, Any]) -> bool:
    try:
        check_session_options(options)
    except ApiError:
        return False
    return True


def _agent_takes(options: dict[str, Any]) -> bool:
    try:
        read_options(options)
    except OptionsInvalid:
        return False
    return True
