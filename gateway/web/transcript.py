"""What was said in a call, as the page shows it: bounded. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gateway.calls.agent_report import entries, mapping, natural
from gateway.calls.conversation import SLOW_TURN_FROM, turns_in

#: Of a transcript at most so many lines and characters are shown; of one line the beginning.
MAX_LINES = 1_000
MAX_TEXT = 120_000
MAX_LINE = 4_000
#: How fast people speak, for how long a line lasts whose end is not known, in ms for a character.
_MS_PER_CHARACTER = 65


@dataclass(frozen=True, slots=True)
class Line:
    """`at` and `end` in ms since epoch; the end is estimated from the text unless a turn has it.

    `role` is agent, user or tool. `waited` is how long the caller waited for it, in ms; None where
    that is not known. `place` is where it is in the recording, in s; None without one.
    """

    at: int
    end: int
    role: str
    text: str
    is_interrupted: bool = False
    waited: int | None = None
    place: float | None = None

    @property
    def is_slow(self) -> bool:
        return self.waited is not None and self.waited >= SLOW_TURN_FROM


@dataclass(frozen=True, slots=True)
class Transcript:
    """`left_out` lines are not shown; `dropped` is how many the agent has left out before."""

    lines: tuple[Line, ...]
    left_out: int
    dropped: int


def transcript_of(report: Mapping[str, Any] | None) -> Transcript:
    """The transcript in a report, which may be of any form."""
    report, said = report or {}, entries(report, "transcript")
    lines = tuple(_lasting(list(_bounded(_lines(said))), report))
    dropped = natural(report.get("transcript_dropped")) or 0
    return Transcript(lines, len(said) - len(lines), dropped)


def _lines(said: Sequence[Any]) -> Iterator[Line]:
    for content in map(mapping, said):
        at, role = natural(content.get("at")), content.get("role")
        if at is None or role not in {"agent", "user", "tool"}:
            continue
        text = _tool(content) if role == "tool" else str(content.get("text") or "")
        length = len(text)
        text = text[:MAX_LINE] + (" […]" if length > MAX_LINE else "")
        lasts = natural(content.get("duration_ms")) or min(length, MAX_LINE) * _MS_PER_CHARACTER
        yield Line(at, at + lasts, str(role), text, content.get("interrupted") is True)


def _tool(content: Mapping[str, Any]) -> str:
    outcome = "" if content.get("ok", True) else " failed"
    return f"{content.get('name') or 'tool'} {content.get('arguments') or ''}".strip() + outcome


def _bounded(lines: Iterator[Line]) -> Iterator[Line]:
    size = 0
    for line in islice(lines, MAX_LINES):
        size += len(line.text)
        if size > MAX_TEXT:
            return
        yield line


def _lasting(lines: list[Line], report: Mapping[str, Any]) -> Iterator[Line]:
    """The lines with what the turns tell about their ends and about how long the caller waited."""
    turns = list(turns_in(report))
    began = natural(mapping(report.get("recording")).get("started_at"))
    for number, line in enumerate(lines):
        following = lines[number + 1].at if number + 1 < len(lines) else line.end
        end, waited = min(line.end, max(following, line.at)), None
        if line.role == "user":
            end = next((t.at for t in turns if line.at <= t.at <= max(following, line.at)), end)
        if line.role == "agent":
            answered = (t.duration_ms for t in turns if abs(t.at + t.duration_ms - line.at) < 400)
            waited = next(answered, None)
        place = None if began is None else max(0.0, (line.at - began) / 1000)
        yield Line(line.at, end, line.role, line.text, line.is_interrupted, waited, place)
