"""When a call's agent was mute: its process stood still, or it sent no audio but should. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.calls.agent_report import entries, mapping

#: Of a call at most so many silences are stored and shown: the longest.
SILENCES_LIMIT = 32
#: Where an agent's report has the silences that it has noticed itself (agent/record.py).
_IN_REPORT = ("stalls", "mute")


@dataclass(frozen=True, slots=True)
class AgentSilence:
    """`at` in ms since epoch, by the worker's clock."""

    at: int
    duration_ms: int

    @property
    def end(self) -> int:
        return self.at + self.duration_ms


def merged(silences: Iterable[AgentSilence]) -> tuple[AgentSilence, ...]:
    """`silences` by time; those that overlap, as the agent and its worker tell them, are one."""
    disjoint: list[AgentSilence] = []
    for silence in sorted(silences, key=lambda it: it.at):
        if disjoint and silence.at <= disjoint[-1].end:
            last = disjoint.pop()
            end = max(last.end, silence.end)
            disjoint.append(AgentSilence(last.at, end - last.at))
        else:
            disjoint.append(silence)
    longest = sorted(disjoint, key=lambda it: -it.duration_ms)[:SILENCES_LIMIT]
    return tuple(sorted(longest, key=lambda it: it.at))


def reported(report: Mapping[str, Any] | None) -> Iterator[AgentSilence]:
    """The silences in an agent's report, which may be of any form."""
    for content in (mapping(it) for name in _IN_REPORT for it in entries(report, name)):
        at, duration = content.get("at"), content.get("duration_ms")
        if isinstance(at, int) and isinstance(duration, int) and duration > 0:
            yield AgentSilence(at, duration)
