"""What a check is, what it may come to, and how that is shown. Pure, but for the checks' own."""

import textwrap
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: What is printed stays readable in a terminal and in a ticket.
WIDTH = 100
_TITLE_COLUMN = 6
_TEXT_COLUMN = 25


class Status(StrEnum):
    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


#: From harmless to worst; a check that was not tried is no worse than what kept it from it.
_ORDER = (Status.SKIP, Status.OK, Status.WARN, Status.FAIL)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check came to: what it `saw`, and the `next` step; both may have several lines."""

    status: Status
    saw: str
    next: str = ""


def ok(saw: str) -> Finding:
    return Finding(Status.OK, saw)


def warn(saw: str, next_step: str) -> Finding:
    return Finding(Status.WARN, saw, next_step)


def fail(saw: str, next_step: str) -> Finding:
    return Finding(Status.FAIL, saw, next_step)


def skip(saw: str, next_step: str = "") -> Finding:
    return Finding(Status.SKIP, saw, next_step)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at. `needs` are checks that tell nothing new where they fail; `limit` in s.

    `look` may raise: what it raises is what was found.
    """

    id: str
    title: str
    look: Callable[[], Awaitable[Finding]]
    needs: tuple[str, ...] = ()
    limit: float = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    check: Check
    finding: Finding


def worst(statuses: Sequence[Status]) -> Status:
    """The status of all together; ok where there is none."""
    most = max(statuses, key=_ORDER.index, default=Status.OK)
    return Status.OK if most is Status.SKIP else most


def together(findings: Sequence[Finding]) -> Finding:
    """Several findings as one: the worst status, a line for each, and each next step once."""
    steps = dict.fromkeys(finding.next for finding in findings if finding.next)
    return Finding(
        worst([finding.status for finding in findings]),
        "\n".join(finding.saw for finding in findings if finding.saw),
        "\n".join(steps),
    )


def exit_code(status: Status) -> int:
    """0 all ok, 1 something to look at, 2 something that does not work."""
    return {Status.WARN: 1, Status.FAIL: 2}.get(status, 0)


def as_json(results: Sequence[Result]) -> Mapping[str, Any]:
    return {
        "status": worst([result.finding.status for result in results]),
        "checks": [
            {
                "id": result.check.id,
                "title": result.check.title,
                "status": result.finding.status,
                "saw": result.finding.saw,
                "next": result.finding.next,
            }
            for result in results
        ],
    }


def as_text(result: Result) -> str:
    """A check in lines of at most `WIDTH`: status, title, what it saw; below that the next step."""
    finding = result.finding
    head = f"{finding.status:<{_TITLE_COLUMN}}{result.check.title}"
    lines = wrapped(finding.saw, first=f"{head:<{_TEXT_COLUMN - 1}} ")
    if finding.next:
        label = f"{'':<{_TITLE_COLUMN}}next"
        lines += wrapped(finding.next, first=f"{label:<{_TEXT_COLUMN - 1}} ")
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    """How many of each, the worst first: `1 fail, 2 warn, 14 ok`."""
    statuses = [result.finding.status for result in results]
    counts = ((status, statuses.count(status)) for status in reversed(_ORDER))
    return ", ".join(f"{count} {status}" for status, count in counts if count)


def wrapped(text: str, *, first: str) -> list[str]:
    """`text` in lines of at most `WIDTH`, all but the first below the end of `first`."""
    indent = " " * len(first)
    lines: list[str] = []
    for part in text.splitlines():
        lines += textwrap.wrap(
            part,
            WIDTH,
            initial_indent=indent if lines else first,
            subsequent_indent=indent,
            # Addresses and commands stay whole, so that they can be copied.
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines
