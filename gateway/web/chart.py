"""A call's time drawn to scale: who was there and who spoke when, as places on a line. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gateway.calls.call import EventKind
from gateway.calls.conversation import SLOW_TURN_FROM, moments_in, turns_in
from gateway.calls.participants import ParticipantKind
from gateway.web.transcript import Line

#: Between two marks of the axis, in s: the first one that leaves MAX_TICKS marks at most.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)
MAX_TICKS = 9
#: Other participants that have a lane of their own at most.
MAX_OTHERS = 4
#: What is shorter is drawn so wide, in % of the chart: it must be seen.
_NARROWEST = 0.25
_AGENT_LEAVES = (EventKind.AGENT_LEFT, EventKind.AGENT_GONE)
#: What is drawn as a moment on the lane of the call.
_MOMENTS = {
    EventKind.TRANSFER_STARTED: "transfer",
    EventKind.TRANSFER_REQUESTED: "transfer requested",
    EventKind.FALLBACK: "fallback",
    EventKind.AGENT_FAILED: "agent failed",
    EventKind.NO_AGENT: "no agent",
    EventKind.LIVEKIT_FAILED: "LiveKit failed",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """`x` and `width` in % of the chart; `kind` is its look, `title` what it is."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    marks: tuple[Bar, ...]
    start: int
    length_ms: int


def chart_of(call: Mapping[str, Any], lines: Sequence[Line], *, now: int) -> Chart:
    """`call` as `GET /livekit-api/calls/{call_id}` has it, `lines` what was said, if shown."""
    start = call["start_timestamp"]
    scale = _Scale(start, max(call["end_timestamp"] or now, start + 1000))
    report = call.get("report") or {}
    lanes = [
        Lane("Caller's telephone", tuple(_telephone(call, scale))),
        Lane("Caller in the room", tuple(_present(call, scale, *_CALLER, "leg"))),
        *_others(call, scale),
        Lane("Agent in the room", tuple(_present(call, scale, *_AGENT, "leg"))),
        Lane("Caller speaks", tuple(_spoken(lines, scale, "user"))),
        Lane("Agent speaks", (*_spoken(lines, scale, "agent"), *_waits(call, report, scale))),
    ]
    return Chart(
        tuple(lane for lane in lanes if lane.bars),
        tuple(_ticks(scale)),
        tuple(_marks(call, scale)),
        start,
        scale.length,
    )


_CALLER = ((EventKind.CALLER_JOINED, EventKind.CALLER_RETURNED), (EventKind.CALLER_LEFT,))
_AGENT = ((EventKind.AGENT_JOINED,), _AGENT_LEAVES)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From ms since epoch to % of the chart; what lies outside is cut off."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start

    def x(self, at: int) -> float:
        return 100 * (min(max(at, self.start), self.end) - self.start) / self.length

    def bar(self, begin: int, end: int, kind: str, title: str) -> Bar:
        x = self.x(begin)
        width = max(self.x(end) - x, _NARROWEST)
        return Bar(round(min(x, 100 - width), 3), round(width, 3), kind, title)


def _telephone(call: Mapping[str, Any], scale: _Scale) -> Iterator[Bar]:
    answered = call["answer_timestamp"]
    waited = (answered or scale.end) - scale.start
    yield scale.bar(scale.start, answered or scale.end, "waiting", f"waits {_s(waited)}")
    if answered:
        yield scale.bar(answered, scale.end, "talking", f"connected {_s(scale.end - answered)}")


def _present(
    call: Mapping[str, Any],
    scale: _Scale,
    joins: Sequence[EventKind],
    leaves: Sequence[EventKind],
    kind: str,
) -> Iterator[Bar]:
    """From each time that somebody joins the room to the next time that they leave."""
    since: int | None = None
    for entry in call["timeline"]:
        if entry["event"] in joins and since is None:
            since = entry["at"]
        elif entry["event"] in leaves and since is not None:
            yield scale.bar(since, entry["at"], kind, f"in the room {_s(entry['at'] - since)}")
            since = None
    if since is not None:
        yield scale.bar(since, scale.end, kind, f"in the room from {_s(since - scale.start)} on")


def _others(call: Mapping[str, Any], scale: _Scale) -> Iterator[Lane]:
    """Everybody but the caller and the agent, who have lanes of their own."""
    others = [
        it for it in call["participants"] if it["joined_at"] and it["kind"] != ParticipantKind.AGENT
    ]
    for it in others[:MAX_OTHERS]:
        bar = scale.bar(it["joined_at"], it["left_at"] or scale.end, "leg", str(it["identity"]))
        yield Lane(str(it["identity"])[:40], (bar,))


def _spoken(lines: Sequence[Line], scale: _Scale, role: str) -> Iterator[Bar]:
    """Lines that follow each other at once are drawn as one, so that long calls stay light."""
    spoken = [
        (round(scale.x(line.at), 1), line) for line in lines if line.role == role and line.text
    ]
    for _, group in groupby(spoken, key=lambda it: it[0]):
        together = [line for _, line in group]
        yield scale.bar(together[0].at, together[-1].end, f"{role}-says", together[0].text[:80])


def _waits(call: Mapping[str, Any], report: Mapping[str, Any], scale: _Scale) -> Iterator[Bar]:
    """Where the agent should have been heard and was not."""
    for turn in turns_in(report):
        if turn.duration_ms >= SLOW_TURN_FROM:
            end = turn.at + turn.duration_ms
            title = f"the answer came after {_s(turn.duration_ms)}"
            yield scale.bar(turn.at, end, "slow", title)
    for moment in moments_in(report, "unanswered"):
        end = moment.at + moment.duration_ms
        yield scale.bar(moment.at, end, "unanswered", f"no answer for {_s(moment.duration_ms)}")
    for silence in call.get("agent_silences") or ():
        end = silence["at"] + silence["duration_ms"]
        title = f"the agent was silent for {_s(silence['duration_ms'])}"
        yield scale.bar(silence["at"], end, "silent", title)


def _marks(call: Mapping[str, Any], scale: _Scale) -> Iterator[Bar]:
    if call["answer_timestamp"]:
        yield scale.bar(call["answer_timestamp"], call["answer_timestamp"], "answer", "answered")
    for entry in call["timeline"]:
        if title := _MOMENTS.get(entry["event"]):
            yield scale.bar(entry["at"], entry["at"], "moment", title)


def _ticks(scale: _Scale) -> Iterator[Tick]:
    seconds = scale.length / 1000
    step = next((it for it in _STEPS if seconds / it < MAX_TICKS), _STEPS[-1])
    for after in range(0, int(seconds) + 1, step):
        label = f"{after // 60}:{after % 60:02}" if seconds >= 60 else f"{after} s"
        yield Tick(round(100_000 * after / scale.length, 3), label)


def _s(ms: int) -> str:
    return f"{ms / 1000:.1f} s"
