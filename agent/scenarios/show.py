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


def turn_json(turn: Turn, happened: Happened, done: Sequence[Check]) -> Iterator[str]:
    """The turn as one JSON object; `problem` of an expectation is "" if it holds."""
    events = [
        {"agent": event}
        if isinstance(event, str)
        else {"tool": event.name, "arguments": dict(event.arguments), "output": event.output}
        for event in happened.events
    ]
    ending = happened.ending
    yield json.dumps(
        {
            "user": turn.user,
            "events": events,
            "ended": (ending.reason or ending.detail) if ending else None,
            "expectations": [{"text": it.text, "problem": it.problem} for it in done],
        }
    )


def summary(checks: Sequence[Check]) -> str:
    return f"{_holding(checks)} of {len(checks)} expectations hold"


def summary_json(checks: Sequence[Check]) -> str:
    return json.dumps({"expectations": len(checks), "holding": _holding(checks)})


def _holding(checks: Sequence[Check]) -> int:
    return sum(not check.problem for check in checks)


def _call(call: ToolCall) -> str:
    answer = call.output if len(call.output) <= _ANSWER else f"{call.output[:_ANSWER]} …"
    return f"{call.name} {json.dumps(dict(call.arguments))} → {answer or '(no answer)'}"


def _line(who: str, text: str) -> str:
    """Control characters, which a model may say, are left out of a terminal."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return f"  {who:<{_WHO}}{shown}"
