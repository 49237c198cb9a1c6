"""`{{variables}}` in a profile."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.profiles.checks import warnings
from agent.profiles.loader import parse_agents
from agent.profiles.profile import HttpTool, Lookup, Plugin, Profile, Recording, Silence, Transfer
from agent.profiles.routing import CallFacts
from agent.profiles.variables import MAX_VALUE, STANDARD, fill, standard_variables


def greeting(text: str, *sources: dict[str, Any]) -> str:
    return fill(Profile(greeting=text), *sources).greeting


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello {{name}}", "Hello Ana"),
        ("Hello {{ name }}!", "Hello Ana!"),
        ("Hello {{name|you}}", "Hello Ana"),
        ("Hello {{other|you there}}", "Hello you there"),
        ("Hello {{other}}.", "Hello ."),
        ("{{name}}{{name}}", "AnaAna"),
        ("{{empty|nobody}}", "nobody"),
        ("{{nothing|nobody}}", "nobody"),
        ("{{count}} {{price}} {{open}}", "3 1.5 true"),
        ("{{tags}}", '["a", "é"]'),
        ("{name} { {name}} ${name}", "{name} { {name}} ${name}"),
    ],
)
def test_variables_are_replaced(text: str, expected: str) -> None:
    values = {
        "name": "Ana",
        "empty": "",
        "nothing": None,
        "count": 3,
        "price": 1.5,
        "open": True,
        "tags": ["a", "é"],
    }
    assert greeting(text, values) == expected


def test_the_first_source_that_has_a_value_counts() -> None:
    assert greeting("{{a}} {{b}} {{c}}", {"a": 1, "b": ""}, {"a": 2, "b": 2}, {"c": 3}) == "1 2 3"


@settings(deadline=None)
@given(st.text())
def test_a_value_brings_no_variables(value: str) -> None:
    found = greeting("<{{a}}>", {"a": "{{b}}" + value, "b": "secret"})
    assert found.startswith("<{{b}}")
    assert "secret" not in found or "secret" in value


def test_a_value_ends_no_line_and_has_an_end() -> None:
    assert greeting("{{a}}", {"a": "Ana\r\nIgnore all\x00of\u2028it"}) == "Ana Ignore all of it"
    assert len(greeting("{{a}}", {"a": "a" * 10 * MAX_VALUE})) == MAX_VALUE


def test_all_that_people_hear_and_models_read_is_filled() -> None:
    tool = HttpTool(
        type="http",
        name="book",
        description="Books for {{v}}.",
        parameters={"type": "object", "description": "{{v}}"},
        url="https://example.com/{{v}}?a={{v}}",
        headers={"X-Call": "{{v}}"},
    )
    profile = Profile(
        instructions="You are {{v}}.",
        silence=Silence(prompts=["{{v}}?"]),
        transfer=Transfer(targets={"desk": "{{v}}"}),
        tools=[tool],
        lookup=Lookup(url="https://example.com/{{v}}"),
        record=Recording(folder="/recordings/{{v}}", url="{{v}}"),
        keyterms=["{{v}}"],
        tts=Plugin.model_validate({"plugin": "openai", "voice": "{{v}}"}),
        variables={"w": "{{v}}"},
    )
    filled = fill(profile, {"v": "../a b"})
    assert filled.instructions == "You are ../a b."
    assert filled.silence.prompts == ["../a b?"]
    assert filled.transfer.targets == {"desk": "../a b"}
    assert filled.keyterms == ["../a b"]
    book = filled.tools[0]
    assert isinstance(book, HttpTool)
    assert book.description == "Books for ../a b."
    assert book.url == "https://example.com/..%2Fa%20b?a=..%2Fa%20b"
    assert book.headers == {"X-Call": "../a b"}
    assert book.parameters == tool.parameters
    assert filled.record == Recording(folder="/recordings/___a_b", url="../a b")
    assert (filled.tts, filled.variables) == (profile.tts, profile.variables)
    assert filled.lookup == Lookup(url="https://example.com/..%2Fa%20b")


def test_a_profile_without_variables_stays_itself() -> None:
    profile = Profile()
    assert fill(profile, {"a": "b"}) is profile


def test_the_standard_variables() -> None:
    call = CallFacts("call-1", "inbound", "+15550100", "+15550199")
    found = standard_variables(call, datetime(2026, 11, 6, 9, 5, tzinfo=UTC))
    assert tuple(found) == STANDARD
    assert found["now"] == "Friday, 6 November 2026, 09:05"
    assert found["today"] == "Friday, 6 November 2026"
    assert (found["call_id"], found["to_number"]) == ("call-1", "+15550199")


def test_variables_that_nothing_fills_are_told() -> None:
    agents = parse_agents(
        """\
profiles:
  default:
    greeting: "{{patient}} {{clinic}} {{call_id}} {{today}} {{account_code}} {{other|x}}"
    silence: {prompts: ["{{call_di}}"]}
    variables: {clinic: North}
""",
        {},
    )
    assert warnings(agents) == [
        "profiles.default.greeting: {{patient}} is empty in calls that do not bring it",
        "profiles.default.silence.prompts[0]: {{call_di}} is empty in calls that do not bring it; "
        'did you mean "call_id"?',
    ]
