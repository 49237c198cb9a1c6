"""docs/agents-yaml.md and the shipped agents.yaml say what the model says."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import yaml
from pydantic.fields import FieldInfo

from agent.profiles.loader import parse_agents
from agent.profiles.options import SessionOptions
from agent.profiles.profile import (
    AgentsFile,
    Analysis,
    Background,
    BuiltInTool,
    Failure,
    Goodbye,
    HttpTool,
    Lookup,
    McpServer,
    Plugin,
    Profile,
    PythonTool,
    Recording,
    Route,
    Section,
    Silence,
    Transfer,
    TurnHandling,
    Voicemail,
)

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "agents-yaml.md"
FILE = ROOT / "agents.yaml"
#: The page's headings of tables.
SECTIONS: Mapping[str, type[Section]] = {
    "The whole file": AgentsFile,
    "`profiles.NAME`": Profile,
    "Models that plugins bring": Plugin,
    "`turn_handling`": TurnHandling,
    "`silence`": Silence,
    "`goodbye`": Goodbye,
    "`failure`": Failure,
    "`voicemail`": Voicemail,
    "`transfer`": Transfer,
    "`tools`: `end_call`, `transfer`, `send_keys`": BuiltInTool,
    "`tools`: `http`": HttpTool,
    "`tools`: `mcp`": McpServer,
    "`tools`: `python`": PythonTool,
    "`lookup`": Lookup,
    "`record`": Recording,
    "`analysis`": Analysis,
    "`background`": Background,
    "`routes`": Route,
}
#: Defaults longer than this are cut in the tables.
LONGEST = 40


def rows(section: type[Section]) -> list[tuple[str, str, str]]:
    """Key, value and default, as the page has them."""
    return [
        (f"`{name}`", _value(field.annotation, field.metadata), _default(field))
        for name, field in section.model_fields.items()
    ]


def _value(annotation: Any, metadata: list[Any]) -> str:
    annotation = _without_none(annotation)
    origin = get_origin(annotation)
    if "(plugin)" in str(annotation):
        return "model, or a list of them" if "(list)" in str(annotation) else "model"
    if origin is Literal:
        return ", ".join(f"`{it}`" for it in get_args(annotation))
    if annotation in (int, float):
        bounds = {name: value for it in metadata for name, value in asdict(it).items()}
        return f"{bounds['ge']:g} to {bounds['le']:g}{', whole' if annotation is int else ''}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    names = {bool: "`true`, `false`", list: "list", dict: "`key: value` lines", str: "text"}
    return names[origin or annotation]


def _without_none(annotation: Any) -> Any:
    """Without `| None`, and without the conditions of what is left."""
    members = [it for it in get_args(annotation) if it is not NoneType]
    if get_origin(annotation) in (Union, UnionType) and len(members) == 1:
        annotation = members[0]
    is_model = "(plugin)" in str(annotation)
    return (
        annotation.__origin__
        if hasattr(annotation, "__metadata__") and not is_model
        else annotation
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return ""
    if isinstance(default, Section):
        return "see below"
    if isinstance(default, float):
        return f"`{default:g}`"
    if isinstance(default, str) and default:
        text = default
    else:
        text = json.dumps(default, default=lambda it: it.model_dump(exclude_defaults=True))
    return f"`{text}`" if len(text) <= LONGEST else f"`{text[:LONGEST].rsplit(' ', 1)[0]} …`"


def documented(heading: str) -> list[tuple[str, ...]]:
    text = PAGE.read_text().partition(f"### {heading}\n")[2].partition("\n#")[0]
    found = re.findall(r"^\| (`.*?`) \| (.*?) \| (.*?) \| (.+) \|$", text, re.MULTILINE)
    return [(key, value, default.strip()) for key, value, default, _ in found]


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_page_has_every_key_with_its_value_and_default(heading: str) -> None:
    assert sorted(documented(heading)) == sorted(rows(SECTIONS[heading]))


def test_the_page_has_every_table() -> None:
    headings = re.findall(r"^### (.*)$", PAGE.read_text(), re.MULTILINE)
    assert [it for it in headings if documented(it)] == list(SECTIONS)


def test_the_page_names_what_a_call_may_change() -> None:
    text = PAGE.read_text().partition("## What a call may change")[2].partition("\n#")[0]
    listed = text.partition("They may have ")[2].partition(": not")[0]
    assert re.findall(r"`(\w+)`", listed) == list(SessionOptions.model_fields)


class AnyVariable(dict[str, str]):
    """An environment in which every variable is set."""

    def get(self, key: str, default: object = None) -> str:
        return f"the value of {key}"


def test_every_agents_yaml_in_the_documentation_is_usable() -> None:
    blocks = [
        block
        for path in (ROOT / "docs").glob("*.md")
        for block in re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        if "profiles" in (yaml.safe_load(block) or {})
    ]
    assert blocks
    for block in blocks:
        parse_agents(block, AnyVariable())


def test_the_shipped_file_is_the_built_in_profile() -> None:
    assert parse_agents(FILE.read_text(), {}) == AgentsFile()


def test_the_shipped_file_shows_every_default() -> None:
    shown = parse_agents(re.sub(r"^( *)#(?=\S)", r"\1", FILE.read_text(), flags=re.MULTILINE), {})
    assert shown == AgentsFile()
    assert shown.model_fields_set == AgentsFile.model_fields.keys()
    profile = shown.profiles["default"]
    assert profile.model_fields_set == Profile.model_fields.keys()
    for name, value in profile:
        if isinstance(value, Section):
            assert value.model_fields_set == type(value).model_fields.keys(), name
