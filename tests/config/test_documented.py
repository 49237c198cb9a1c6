"""Settings as the documentation shows them: each is read, and each list has what is shown."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from gateway.config.loader import build_config
from gateway.config.settings import Config

ROOT = Path(__file__).parents[2]
FILES = [
    *(ROOT / name for name in ("README.md", "config.yaml", ".env.example")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.suffix in {".conf", ".service"}),
]
VARIABLES = {
    item.metadata["env"]
    for section in fields(Config)
    for item in fields(getattr(Config(), section.name))
    if item.metadata["env"]
}
#: NAME=value, quoted or up to what cannot be part of it, in a code block, a comment or in code.
ASSIGNMENT = re.compile(r"\b([A-Z][A-Z0-9_]+)=('[^']+'|\"[^\"]+\"|[^\s`|;'\"]+)")
#: A row of a table of settings: | `NAME` | `value` … |
ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]+)` \| (?:contains )?`([^`]+)`", re.MULTILINE)
YAML_BLOCK = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown() -> Iterator[tuple[str, str, str]]:
    for path in FILES:
        text = path.read_text()
        for name, value in [*ASSIGNMENT.findall(text), *ROW.findall(text)]:
            is_value = not value.startswith("$") and value != "%i"  # systemd's
            if is_value and (name in VARIABLES or name.startswith("GATEWAY__")):
                yield path.name, name, value.strip("'\"").rstrip(".")


@pytest.mark.field("H1")
@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(*rest, id=f"{file} {rest[0]}") for file, *rest in shown()]
)
def test_a_variable_can_be_set_as_it_is_shown(name: str, value: str) -> None:
    value = value.replace("name:role:", "name:read:").replace("NAME:ROLE:", "name:read:")
    build_config({}, {name: value})


@pytest.mark.field("H1")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_part_of_config_yaml_can_be_used_as_it_is_shown(path: Path) -> None:
    for block in YAML_BLOCK.findall(path.read_text()):
        content = yaml.safe_load(block)
        if isinstance(content, dict) and content.keys() & {item.name for item in fields(Config)}:
            build_config(content, {})


@pytest.mark.field("H1")
def test_the_lists_that_the_documentation_of_n8n_shows() -> None:
    env = {name: value for file, name, value in shown() if file == "n8n.md"}
    config = build_config({}, env)
    assert config.callbacks.urls == ("https://n8n.example.com/webhook/gateway-call-events",)
    assert [host.pattern for host in config.callbacks.allowed_hosts] == ["n8n.internal"]
