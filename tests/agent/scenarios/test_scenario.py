"""Files for `simulate conversation`: what is read, and what is wrong with them."""

from pathlib import Path

import pytest

from agent.scenarios.scenario import Scenario, ScenarioInvalid, load_scenario


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scenario.yaml"


def problems(file: Path, text: str | bytes) -> list[str]:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ScenarioInvalid) as caught:
        load_scenario(file, {})
    return caught.value.problems


def test_a_scenario_is_read_with_its_defaults(file: Path) -> None:
    file.write_text("turns: [{user: Hello., expect: {says: hello, calls: {book: {slot: a}}}}]")
    scenario = load_scenario(file, {})
    (turn,) = scenario.turns
    assert (turn.user, turn.expect.says, turn.expect.calls) == (
        "Hello.",
        "hello",
        {"book": {"slot": "a"}},
    )
    assert scenario == Scenario(turns=[turn])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "turns: is missing"),
        ("turns: []", "turns: must not be empty"),
        ("turns: [{user: Hi}]\nvoice: x", "voice: unknown key; there are: "),
        ("turns: [{user: Hi, expect: {say: x}}]", "turns[0].expect.say: unknown key; did you "),
        ("turns: [{user: Hi}, {expect: {}}]", "turns[1].user: is missing; only the first turn "),
        ("turns: [{user: Hi, expect: {says: '('}}]", "turns[0].expect.says: is no regular "),
        ("turns: [{user: Hi, expect: {ends: busy}}]", "turns[0].expect.ends: must be one of: "),
        ("turns: [{user: Hi, expect: {calls: [book]}}]", "turns[0].expect.calls: must be `key: "),
        ("turns: [{user: 5}]", "turns[0].user: must be text: put it into quotes"),
        ("agents: ${NOWHERE}\nturns: [{user: Hi}]", "agents: the environment variable NOWHERE "),
        ("turns:\n\t- user: Hi", "line 2: a tab; YAML indents with spaces only"),
        ("just words", "must be `key: value` lines"),
        (b"turns: [{user: H\xff}]", "line 1: not UTF-8"),
    ],
)
def test_a_mistake_is_one_line_with_its_path(file: Path, text: str | bytes, problem: str) -> None:
    (line,) = problems(file, text)
    assert line.startswith(problem)


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    text = "turns: [{user: Hi, expects: {}}, {user: Hi, expect: {says: '('}}]\nfrom_number: 1"
    assert len(problems(file, text)) == 2


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScenarioInvalid, match="cannot be read: No such file"):
        load_scenario(tmp_path / "nowhere.yaml", {})
