"""What happened in a turn, held against what was expected. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.ending import Ending
from agent.scenarios.scenario import Expect


@dataclass(frozen=True)
class ToolCall:
    """`output` is what the model was told."""

    name: str
    arguments: Mapping[str, Any]
    output: str = ""


@dataclass(frozen=True)
class Happened:
    """A turn: what was said and called, in its order.

    `transfer` is whom the caller was transferred to, "" for nobody.
    """

    events: tuple[str | ToolCall, ...] = ()
    transfer: str = ""
    ending: Ending | None = None

    @property
    def said(self) -> str:
        return " ".join(event for event in self.events if isinstance(event, str))

    @property
    def calls(self) -> list[ToolCall]:
        return [event for event in self.events if isinstance(event, ToolCall)]


@dataclass(frozen=True)
class Check:
    """An expectation; `problem` is why it does not hold, "" if it does."""

    text: str
    problem: str = ""


def checks(expect: Expect, happened: Happened) -> Iterator[Check]:
    """All expectations but `means`, which takes a model."""
    said = happened.said
    if expect.says:
        is_said = re.search(expect.says, said, re.IGNORECASE)
        yield Check(f"says {expect.says}", "" if is_said else _instead("it said", said))
    if expect.never_says:
        found = re.search(expect.never_says, said, re.IGNORECASE)
        yield Check(f"never says {expect.never_says}", f"it said: {found[0]}" if found else "")
    if expect.calls == {}:
        called = ", ".join(call.name for call in happened.calls)
        yield Check("calls no tool", f"it called: {called}" if called else "")
    for name, arguments in (expect.calls or {}).items():
        yield Check(f"calls {name}{_shown(arguments)}", _call_problem(name, arguments, happened))
    if expect.transfers:
        is_there = happened.transfer == expect.transfers
        problem = "" if is_there else _instead("it transferred to", happened.transfer)
        yield Check(f"transfers to {expect.transfers}", problem)
    if expect.ends is not None:
        yield Check(f"ends: {expect.ends or 'by transfer'}", _end_problem(expect, happened.ending))


def _call_problem(name: str, arguments: Mapping[str, Any], happened: Happened) -> str:
    calls = [call for call in happened.calls if call.name == name]
    if not calls:
        return _instead("it called", ", ".join(call.name for call in happened.calls))
    if any(arguments.items() <= call.arguments.items() for call in calls):
        return ""
    return f"its arguments: {'; '.join(json.dumps(dict(call.arguments)) for call in calls)}"


def _end_problem(expect: Expect, ending: Ending | None) -> str:
    if ending is None:
        return "the call goes on"
    return "" if ending.reason == expect.ends else f"it ended: {ending.reason or ending.detail}"


def _instead(what: str, text: str) -> str:
    return f"{what}: {text or 'nothing'}"


def _shown(arguments: Mapping[str, Any]) -> str:
    return f" {json.dumps(dict(arguments))}" if arguments else ""
