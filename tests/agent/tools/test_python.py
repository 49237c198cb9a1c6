"""Tools that are functions of the operator's own."""

import asyncio
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from livekit.agents import RunContext, ToolError, function_tool

from agent.profiles.profile import Profile
from agent.voice.tools.available import tool_problems
from tests.agent.tools.conftest import conversation, turn
from tests.fakes.llm import Use


@function_tool
async def opening_hours(context: RunContext[Any], day: str, week: int = 1) -> str:
    """When the clinic is open.

    Args:
        day: The day of the week.
    """
    return f"{context.session.agent_state} {day} {week}"


@function_tool
async def hangs() -> str:
    """Never answers."""
    await asyncio.Event().wait()
    return ""


@function_tool
async def refuses() -> str:
    """Says why it cannot."""
    raise ToolError("the clinic is closed")


@function_tool
async def breaks() -> str:
    """Has a bug."""
    raise ValueError("a private detail")


@function_tool(raw_schema={"name": "raw", "description": "Raw.", "parameters": {"type": "object"}})
async def raw(raw_arguments: dict[str, object]) -> str:
    return str(raw_arguments)


@function_tool  # type: ignore[type-var]
def blocks() -> str:
    return "at once"


async def plain() -> str:
    return "not a tool"


@pytest.fixture(autouse=True)
def clinic() -> Iterator[None]:
    """The functions above as a module of the operator's."""
    module = ModuleType("clinic_tools")
    for function in (opening_hours, hangs, refuses, breaks, raw, blocks, plain):
        setattr(module, getattr(function, "__name__", "raw"), function)
    sys.modules["clinic_tools"] = module
    yield
    del sys.modules["clinic_tools"]


def profile(function: str, **settings: object) -> dict[str, Any]:
    return {"tools": [{"type": "python", "function": f"clinic_tools:{function}", **settings}]}


async def output_of(name: str, arguments: dict[str, object], **settings: object) -> Any:
    async with conversation(profile(name, **settings), Use(name, arguments), "So.") as voice:
        run = await turn(voice, "?")
    (output,) = (event.item for event in run.events if event.type == "function_call_output")
    return output


async def test_a_function_gets_its_arguments_and_the_context() -> None:
    output = await output_of("opening_hours", {"day": "Monday"})
    assert (output.output, output.is_error) == ("thinking Monday 1", False)
    assert (await output_of("opening_hours", {"day": "Monday", "week": 3})).output.endswith("3")
    assert (await output_of("opening_hours", {})).is_error
    assert (await output_of("raw", {"a": 1})).output == "{'a': 1}"


async def test_a_function_that_fails_is_told_to_the_model() -> None:
    assert (await output_of("refuses", {})).output == "the clinic is closed"
    broken = await output_of("breaks", {})
    assert broken.is_error
    assert "private" not in broken.output


async def test_a_function_that_hangs_is_given_up() -> None:
    output = await output_of("hangs", {}, timeout=0.1)
    assert (output.output, output.is_error) == ("no answer within 0.1 s", True)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("clinic_tools:missing", "cannot be imported: AttributeError: "),
        ("no_such_module:f", "cannot be imported: ModuleNotFoundError: No module named"),
        ("clinic_tools:plain", "must be decorated with livekit.agents.function_tool"),
        ("clinic_tools:blocks", "must be an async function"),
    ],
)
def test_what_is_no_tool_is_said_at_start(function: str, problem: str) -> None:
    profile = Profile.model_validate({"tools": [{"type": "python", "function": function}]})
    ((key, text),) = tool_problems(profile)
    assert key == "tools[0].function"
    assert text.startswith(f"{function} {problem}")
