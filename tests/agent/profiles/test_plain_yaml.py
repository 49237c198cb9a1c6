"""YAML as plain data: never a crash, and what is written is what is read."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.profiles.loader import AgentsFileInvalid, parse_agents
from agent.profiles.plain_yaml import Problems, at, read_yaml

#: PyYAML takes no longer keys, and no control characters outside of quotes.
TEXT = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=20)
LEAVES = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXT
TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda it: st.lists(it, max_size=3) | st.dictionaries(TEXT, it, max_size=3)
)


def problems_of(text: str) -> list[str]:
    try:
        parse_agents(text, {})
    except AgentsFileInvalid as error:
        return error.problems or [""]
    return []


@settings(deadline=None)
@given(st.dictionaries(TEXT, TREES))
def test_json_is_read_as_it_is(data: dict[str, Any]) -> None:
    text = json.dumps(data, ensure_ascii=False)
    problems = Problems()
    found = read_yaml(text, {}, problems)
    assert found == data or "${" in text or "<<" in text
    assert not [it for it in problems.values() if "$" not in it and "<<" not in text]


def test_an_emoji_as_json_writes_it_is_one_character() -> None:
    assert read_yaml(json.dumps({"a": "😀"}), {}, Problems()) == {"a": "😀"}


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(codec="utf-8")) | st.text(alphabet=" \t\n-:[]{}&*!|>'\"%#?,ab")
)
def test_any_text_is_read_or_refused(text: str) -> None:
    assert all(problems_of(text))


@settings(deadline=None)
@given(TREES)
def test_any_profile_is_taken_or_refused(tree: Any) -> None:
    text = yaml.safe_dump({"profiles": {"default": tree}, "routes": tree, "allowed_hosts": tree})
    told = [it.rpartition(": ")[2] for it in problems_of(text)]  # without the keys of `tree`
    assert not [it for it in told if "union" in it or "Input" in it]


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("0391", "0391"),
        ("+61491570156", "+61491570156"),
        ("2026-11-26", "2026-11-26"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("9" * 30, "9" * 30),
        ("1e999", "1e999"),
        ("-7", -7),
        ("1.50", 1.5),
        (".5", 0.5),
        ("2e3", 2000.0),
        ("True", True),
        ("false", False),
        ("~", None),
        ("null", None),
        ("'null'", "null"),
    ],
)
def test_scalars_are_those_of_json(scalar: str, value: object) -> None:
    problems = Problems()
    found = read_yaml(f"a: {scalar}", {}, problems)["a"]
    assert (found, type(found)) == (value, type(value))
    assert not problems


@settings(deadline=None)
@given(st.text(alphabet="${}AB_ x"), st.text(alphabet="${}AB"))
def test_a_variable_is_replaced_once(text: str, value: str) -> None:
    problems = Problems()
    found = read_yaml(json.dumps({"a": text}), {"AB": value or "-"}, problems)["a"]
    if not problems:
        plain = text.replace("$${", "\0").replace("${AB}", value or "-").replace("\0", "${")
        assert found == plain


def test_paths() -> None:
    assert at(at(at("", "profiles"), "clinic"), "tools") + at("", 0) == "profiles.clinic.tools[0]"
    assert at("a", "b c") == "a.'b c'"
