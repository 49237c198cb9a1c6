"""What a file for `simulate conversation` may say, and its reader. Pure, but for reading it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from agent.ending import Reason
from agent.profiles.loader import AgentsFileInvalid, read_text
from agent.profiles.mistakes import mistakes
from agent.profiles.plain_yaml import Problems, read_yaml
from agent.profiles.profile import Name, Section, Text, Variables


class ScenarioInvalid(Exception):
    """`problems` has a line for each, with its path in the file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Expect(Section):
    """What the agent must do in a turn; what is left out may be anything.

    `says` and `never_says`: a regular expression, searched in all that it says, without regard to
    case. `means`: an intent that the profile's model judges its last sentence by. `calls`: tools
    that it must call, with the arguments that are named; `{}`: none at all. `transfers`: to whom,
    by the name in transfer.targets. `ends`: how the call ends.
    """

    says: Text | None = None
    never_says: Text | None = None
    means: Text | None = None
    calls: dict[str, dict[str, Any]] | None = None
    transfers: Name | None = None
    ends: Reason | None = None


class Turn(Section):
    """What the user says, and what the agent must do. The first may have no `user`: the greeting.

    `answers` are those of tools, from this turn on: see Scenario.
    """

    user: Text | None = None
    answers: dict[str, Any] = Field(default_factory=dict)
    expect: Expect = Expect()


class Scenario(Section):
    """A conversation. `agents` is the path of agents.yaml, from the scenario's folder.

    The profile is `profile`, or the one that the routes lead the call to. `answers` are what tools
    return, by their names; a tool without an answer is really called.
    """

    agents: str = ""
    profile: Name | None = None
    direction: Literal["inbound", "outbound"] = "inbound"
    from_number: str = "+15550100"
    to_number: str = "+15550199"
    account_code: str = ""
    variables: Variables = Field(default_factory=dict)
    answers: dict[str, Any] = Field(default_factory=dict)
    turns: Annotated[list[Turn], Field(min_length=1)]


def load_scenario(path: Path, env: Mapping[str, str]) -> Scenario:
    """Raises ScenarioInvalid."""
    try:
        text = read_text(path)
    except AgentsFileInvalid as error:
        raise ScenarioInvalid(error.problems) from error
    problems = Problems()
    data = read_yaml(text, env, problems)
    try:
        # A file that is not YAML is not also without turns.
        scenario = Scenario.model_validate(data) if "" not in problems else None
    except ValidationError as error:
        for where, mistake in mistakes(error, Scenario):
            problems.add(where, mistake)
    else:
        _check_turns(scenario.turns if scenario else [], problems)
    if problems or not scenario:
        raise ScenarioInvalid(problems.lines())
    return scenario


def _check_turns(turns: Sequence[Turn], problems: Problems) -> None:
    for number, turn in enumerate(turns):
        if number and turn.user is None:
            problems.add(f"turns[{number}].user", "is missing; only the first turn may be without")
        for name in ("says", "never_says"):
            try:
                re.compile(getattr(turn.expect, name) or "")
            except re.error as error:
                where = f"turns[{number}].expect.{name}"
                problems.add(where, f"is no regular expression: {error}")
