"""`simulate conversation`: the command, with the real plugin against a scripted model."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.tools.simulate import conversation
from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer

AGENTS = """
profiles:
  clinic:
    greeting: Good day, {{patient_name}}.
    tools:
      - type: end_call
      - {type: http, name: free_slots, description: Free times., url: "https://n8n.example.com/f"}
routes: [{profile: clinic}]
"""
SCENARIO = """
agents: agents.yaml
variables: {patient_name: Ann}
answers: {free_slots: {free_slots: [nine, ten]}}
turns:
  - expect: {says: day. Ann}
  - user: I need an appointment.
    expect: {calls: {free_slots: {day: monday}}, says: nine or ten}
  - user: Goodbye.
    expect: {ends: agent_hangup}
"""
SCRIPT = Script(
    [
        Rule("appointment", call="free_slots", arguments={"day": "monday"}),
        Rule("nine", role="tool", say="Nine or ten?"),
        Rule("goodbye", call="end_call"),
        Rule("", role="tool", say="Goodbye."),
    ]
)


@pytest.fixture
async def models() -> AsyncIterator[ModelServer]:
    async with ModelServer(SCRIPT, lambda _: "").serving() as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "agents.yaml").write_text(AGENTS)
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    return tmp_path


async def simulated(file: Path, **env: str) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of the command."""
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT_", "OPENAI_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "simulate", "conversation", str(file)),
        cwd=Path(__file__).parents[3],
        env=outer | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, error = await process.communicate()
    return process.returncode, output.decode(), error.decode()


@pytest.mark.server
async def test_a_conversation_is_shown_and_holds(models: ModelServer, files: Path) -> None:
    env = {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": models.url}
    code, output, error = await simulated(files / "scenario.yaml", **env)
    assert (code, error) == (0, "")
    assert output == (
        "  agent  Good day, Ann.\n"
        "         ok      says day. Ann\n"
        "  user   I need an appointment.\n"
        '  tool   free_slots {"day": "monday"} → {"free_slots": ["nine", "ten"]}\n'
        "  agent  Nine or ten?\n"
        "         ok      says nine or ten\n"
        '         ok      calls free_slots {"day": "monday"}\n'
        "  user   Goodbye.\n"
        "  tool   end_call {} → Say goodbye to the caller in one short sentence.\n"
        "  agent  Goodbye.\n"
        "  ended  agent_hangup\n"
        "         ok      ends: agent_hangup\n"
        "\n"
        "4 of 4 expectations hold\n"
    )


@pytest.mark.server
async def test_an_expectation_that_fails_is_the_exit_code(models: ModelServer, files: Path) -> None:
    (files / "scenario.yaml").write_text(SCENARIO.replace("nine or ten", "eleven"))
    env = {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": models.url}
    code, output, _ = await simulated(files / "scenario.yaml", **env)
    assert code == 1
    assert "FAILED  says eleven: it said: Nine or ten?" in output
    assert output.endswith("3 of 4 expectations hold\n")


@pytest.mark.server
async def test_what_cannot_be_held_is_one_line_for_each_reason(files: Path) -> None:
    assert await simulated(files / "nowhere.yaml") == (
        2,
        "",
        f"agent: {files}/nowhere.yaml: cannot be read: No such file or directory\n",
    )
    code, output, error = await simulated(files / "scenario.yaml")
    assert (code, output) == (2, "")
    problem = "profiles.clinic.models: auto needs OPENAI_API_KEY"
    assert error.startswith(f"agent: {files}/agents.yaml: {problem}")
    (files / "agents.yaml").write_text("profiles: {default: {greting: Hi, stt: 5}}")
    code, output, error = await simulated(files / "scenario.yaml")
    assert (code, output, error.count("\n")) == (2, "", 2)
    assert f"agent: {files}/agents.yaml: profiles.default.greting: unknown key" in error


def test_without_the_agents_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="livekit-agents is missing: install the extra 'agent'"):
        conversation.run("scenario.yaml")
