"""docs/agents.md: each snippet can be used as it is shown."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from livekit.agents import FunctionTool

from agent.context import CallContext
from agent.profiles.checks import warnings
from agent.profiles.loader import parse_agents
from agent.profiles.options import read_lookup, read_options
from agent.scenarios.scenario import load_scenario
from agent.voice.requests import call_view
from gateway.api.schemas.dispatch import DispatchSchema
from gateway.config.loader import build_config
from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "agents.md").read_text()
AGENTS = ROOT / "deploy" / "agents"
SHIPPED = [file.read_text() for file in sorted(AGENTS.glob("*.yaml"))]
#: What the snippets take from the environment.
ENV = {
    "N8N_URL": "https://n8n.example.com",
    "N8N_KEY": "the-secret-of-the-credential",
    "FRONT_DESK": "+61491570156",
}
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[str]:
    """The snippets in a language, without what they are indented by."""
    return [
        re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
        for indent, kind, text in FENCE.findall(PAGE)
        if kind == language
    ]


@pytest.mark.parametrize("text", snippets("yaml"), ids=lambda text: text.splitlines()[-1].strip())
def test_a_yaml_snippet_can_be_used(text: str, tmp_path: Path) -> None:
    """It is an agents.yaml, or part of a shipped one; a scenario; or a part of config.yaml."""
    if any(text in shipped for shipped in SHIPPED):
        return
    content = yaml.safe_load(text)
    if "turns" in content:
        file = tmp_path / "scenario.yaml"
        file.write_text(text)
        load_scenario(file, {})
    elif "profiles" in content:
        assert not warnings(parse_agents(text, ENV))
    else:
        build_config(content, {})


@pytest.mark.parametrize("text", snippets("json"), ids=lambda text: text.split()[1])
def test_a_json_snippet_is_what_its_reader_takes(text: str) -> None:
    content = json.loads(text)
    readers: dict[str, Callable[[Any], object]] = {
        "destination": _read_dispatch,
        "arguments": _read_tool_request,
        "variables": read_lookup,
        "event": dict,
    }
    (read,) = (read for key, read in readers.items() if key in content)
    read(content)


def _read_dispatch(content: dict[str, Any]) -> None:
    DispatchSchema().load(content)
    read_options(content["session_options"])


def _read_tool_request(content: dict[str, Any]) -> None:
    """As agent/voice/tools/http.py sends it."""
    assert content.keys() == {"name", "arguments", "call"}
    assert content["call"].keys() == call_view(CallContext()).keys()


@pytest.mark.parametrize("text", snippets("python"))
def test_a_python_snippet_is_a_tool(text: str) -> None:
    namespace: dict[str, Any] = {}
    exec(text, namespace)  # noqa: S102 - that is what it is for
    tools = [value for value in namespace.values() if isinstance(value, FunctionTool)]
    assert [tool.info.name for tool in tools] == ["opening_hours"]


def test_the_page_is_short_enough_to_be_read() -> None:
    assert len(PAGE.splitlines()) <= 600


def test_the_receptionist_can_be_used() -> None:
    agents = parse_agents((AGENTS / "receptionist.yaml").read_text(), ENV)
    assert list(agents.profiles) == ["receptionist"]
    assert not warnings(agents)


#: What a model does that follows the receptionist's instructions.
MODEL = Script(
    [
        Rule("given intent", call="check_intent", arguments={"success": True, "reason": "it does"}),
        Rule("appointment on tuesday", call="free_slots", arguments={"day": "2026-12-01"}),
        Rule("free_slots", role="tool", say="Tuesday at nine or at half past two is free."),
        Rule("my name is", say="Ann Example, on Tuesday at nine: is that right?"),
        Rule(
            "yes, they are",
            call="book",
            arguments={"slot": "2026-12-01T09:00", "patient_name": "Ann Example"},
        ),
        Rule("booked", role="tool", say="You are booked for Tuesday at nine."),
        Rule("goodbye", call="end_call"),
        Rule("", role="tool", say="Goodbye."),
    ]
)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(MODEL, lambda _: "").serving() as server:
        yield server


@pytest.mark.server
async def test_the_receptionist_makes_an_appointment(model: ModelServer) -> None:
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT_", "OPENAI_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", "conversation"),
        str(AGENTS / "receptionist-conversation.yaml"),
        cwd=ROOT,
        env=outer | ENV | {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": model.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert output.decode().endswith("9 of 9 expectations hold\n")
