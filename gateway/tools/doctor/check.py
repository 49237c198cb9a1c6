"""What a check of `doctor` is, the finding it returns, and how findings are printed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.explanation.status import Status
from gateway.tools.terminal import wrapped

_STATUS_WIDTH = 6
_TITLE_WIDTH = 19


#: From harmless to worst. A skipped check adds nothing to the failure because of which it was.
_ORDER = (Status.SKIP, Status.OK, Status.WARN, Status.FAIL)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check: a message, and the `next` step. Both may have several lines."""

    status: Status
    message: str
    next: str = ""


def ok(message: str) -> Finding:
    return Finding(Status.OK, message)


def warn(message: str, next_step: str) -> Finding:
    return Finding(Status.WARN, message, next_step)


def fail(message: str, next_step: str) -> Finding:
    return Finding(Status.FAIL, message, next_step)


def skip(message: str, next_step: str = "") -> Finding:
    return Finding(Status.SKIP, message, next_step)


@dataclass(frozen=True, slots=True)
class Check:
    """One check, which may take `timeout` s. It is skipped unless all that it `needs` succeeded.

    An exception that `run` raises becomes a failure with its text. `offline` ones ask nobody.
    """

    id: str
    title: str
    run: Callable[[], Awaitable[Finding]]
    needs: tuple[str, ...] = ()
    timeout: float = 10.0
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    check: Check
    finding: Finding


def worst(statuses: Sequence[Status]) -> Status:
    """The worst of `statuses`; ok if there are none, or skipped checks only."""
    status = max(statuses, key=_ORDER.index, default=Status.OK)
    return Status.OK if status is Status.SKIP else status


def combined(findings: Sequence[Finding]) -> Finding:
    """Several findings as one: the worst status, all messages, and each next step once."""
    steps = dict.fromkeys(finding.next for finding in findings if finding.next)
    return Finding(
        worst([finding.status for finding in findings]),
        "\n".join(finding.message for finding in findings if finding.message),
        "\n".join(steps),
    )


def exit_code(status: Status) -> int:
    """0 for ok, 1 for a warning, 2 for a failure."""
    return {Status.WARN: 1, Status.FAIL: 2}.get(status, 0)


def as_json(results: Sequence[Result]) -> Mapping[str, Any]:
    return {
        "status": worst([result.finding.status for result in results]),
        "checks": [
            {
                "id": result.check.id,
                "title": result.check.title,
                "status": result.finding.status,
                "message": result.finding.message,
                "next": result.finding.next,
            }
            for result in results
        ],
    }


def as_text(result: Result) -> str:
    """Status, title and message; below them the next step."""
    finding = result.finding
    lines = _columns(finding.status, result.check.title, finding.message)
    if finding.next:
        lines += _columns("", "next", finding.next)
    return "\n".join(lines)


def _columns(status: str, title: str, text: str) -> list[str]:
    return wrapped(text, label=f"{status:<{_STATUS_WIDTH}}{title:<{_TITLE_WIDTH - 1}} ")


def summary(results: Sequence[Result]) -> str:
    """How many findings of each status, the worst first: `1 fail, 2 warn, 14 ok`."""
    statuses = [result.finding.status for result in results]
    counts = ((status, statuses.count(status)) for status in reversed(_ORDER))
    return ", ".join(f"{count} {status}" for status, count in counts if count)
