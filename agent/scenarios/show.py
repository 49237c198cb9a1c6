"""A played turn as lines to read. Pure."""

import json
from collections.abc import Iterator, Sequence

from agent.scenarios.checks import Check, Happened, ToolCall
from agent.scenarios.scenario import Turn

#: The width of the first column, and how much of a tool's answer is shown.
_WHO = 7
_ANSWER = 160


def turn_lines(turn: Turn, happened: Happened, done: Sequence[Check]) -> Iterator[str]:
    """Who said what, which tools were called, and which expectations hold."""
    if turn.user is not None:
        yield _line("user", turn.user)
    for event in happened.events:
        yield _line("agent", event) if isinstance(event, str) else _line("tool", _call(event))
    if happened.ending:
        yield _line("ended", happened.ending.reason or happened.ending.detail)
    for check in done:
        result = (
            f"FAILED  {check.text}: {check.problem}" if check.problem else f"ok      {check.text}"
        )
        yield _line("", result)


def summary(checks: Sequence[Check]) -> str:
    holding = sum(not check.problem for check in checks)
    return f"{holding} of {len(checks)} expectations hold"


def _call(call: ToolCall) -> str:
    answer = call.output if len(call.output) <= _ANSWER else f"{call.output[:_ANSWER]} …"
    return f"{call.name} {json.dumps(dict(call.arguments))} → {answer or '(no answer)'}"


def _line(who: str, text: str) -> str:
    """Control characters, which a model may say, are left out of a terminal."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return f"  {who:<{_WHO}}{shown}"
