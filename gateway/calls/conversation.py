"""Was there a conversation? What a call's report and its worker tell about that. Pure."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from gateway.calls.agent_report import entries, mapping, natural
from gateway.calls.call import Call
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.silences import AgentSilence, merged, reported

#: From so many ms on: an agent that is silent where it should speak is a failure, its first word is
#: late, and a turn is slow.
SILENT_FROM = 5_000
SLOW_FIRST_AUDIO_FROM = 3_000
SLOW_TURN_FROM = 2_000
#: A conversation that was shorter (ms) need not have had a word of the agent's, or of the caller's.
SHORTEST_FOR_A_WORD = 5_000
SHORTEST_FOR_AN_ANSWER = 10_000
#: The share of lost packets that is heard, and of how many packets at least it is worked out.
LOSS_FROM = 0.05
FEWEST_PACKETS = 100


class ConversationProblem(StrEnum):
    """What was wrong with a conversation, the worst first."""

    NO_CONVERSATION = "no_conversation"
    SILENT_AGENT = "silent_agent"
    SLOW_FIRST_WORD = "slow_first_word"
    UNANSWERED_SPEECH = "unanswered_speech"
    SLOW_TURNS = "slow_turns"
    LOST_PACKETS = "lost_packets"
    SILENT_CALLER = "silent_caller"


@dataclass(frozen=True, slots=True)
class Turns:
    """The agent's answers: their number, latencies in ms, and how many took SLOW_TURN_FROM."""

    count: int
    p50_ms: int
    max_ms: int
    slow: int


@dataclass(frozen=True, slots=True)
class Packets:
    """Of audio, between LiveKit and the agent in one direction: how many came, and how many not."""

    received: int
    lost: int

    @property
    def is_heard(self) -> bool:
        """Whether so many are lost that people hear it."""
        sent = self.received + self.lost
        return sent >= FEWEST_PACKETS and self.lost / sent >= LOSS_FROM


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is known of it now; None where the agent has not reported it.

    `first_audio_ms`: from the answer to the agent's first audio. `longest_silence_ms` of the agent,
    where it should have spoken; 0 without one. `unanswered`: how often the caller spoke and got no
    answer. `from_caller` and `to_caller` are the packets that the agent and that LiveKit received.
    """

    problems: tuple[ConversationProblem, ...]
    first_audio_ms: int | None
    longest_silence_ms: int
    unanswered: int
    turns: Turns | None
    from_caller: Packets | None
    to_caller: Packets | None

    @property
    def verdict(self) -> ConversationProblem | None:
        """The worst problem; None if none is known."""
        return self.problems[0] if self.problems else None


def conversation_of(call: Call) -> Conversation | None:
    """None if the call was not answered, or nothing is known about its conversation yet."""
    report = call.report or {}
    silences = agent_silences(call)
    if call.answer_timestamp is None or not (report or silences):
        return None
    latencies = [it.duration_ms for it in turns_in(report)]
    packets = mapping(report.get("packets"))
    known = Conversation(
        problems=(),
        first_audio_ms=_first_audio(report, call.answer_timestamp),
        longest_silence_ms=max(
            [natural(report.get("longest_silence_ms")) or 0, *(it.duration_ms for it in silences)]
        ),
        unanswered=len(list(moments_in(report, "unanswered"))),
        turns=_turns(latencies) if latencies else None,
        from_caller=_packets(packets.get("from_caller")),
        to_caller=_packets(packets.get("to_caller")),
    )
    return replace(known, problems=tuple(_problems(call, known)))


def agent_silences(call: Call) -> tuple[AgentSilence, ...]:
    """When the agent was mute, as its worker and the agent itself have reported, by time."""
    return merged([*call.agent_silences, *reported(call.report)])


@dataclass(frozen=True, slots=True)
class Moment:
    """`at` in ms since epoch, by the worker's clock."""

    at: int
    duration_ms: int


def turns_in(report: Mapping[str, Any]) -> Iterator[Moment]:
    """The agent's answers: when the caller had spoken, and how long they waited then."""
    return moments_in(report, "turns", duration="latency_ms")


def moments_in(
    report: Mapping[str, Any], name: str, *, duration: str = "duration_ms"
) -> Iterator[Moment]:
    """The entries of the list `name` in a report, which may be of any form."""
    for entry in map(mapping, entries(report, name)):
        at, lasted = natural(entry.get("at")), natural(entry.get(duration))
        if at is not None and lasted is not None:
            yield Moment(at, lasted)


def _problems(call: Call, known: Conversation) -> Iterator[ConversationProblem]:
    report, first_audio = call.report or {}, known.first_audio_ms or 0
    # Of a call that goes on, or whose report is missing, it is not known what was never said.
    is_told = bool(report) and call.end_timestamp is not None
    is_machine = call.disconnection_reason is DisconnectionReason.VOICEMAIL_REACHED
    lasted = (call.duration_ms or 0) if is_told and not is_machine else 0
    if known.first_audio_ms is None and lasted >= SHORTEST_FOR_A_WORD:
        yield ConversationProblem.NO_CONVERSATION
    if known.longest_silence_ms >= SILENT_FROM:
        yield ConversationProblem.SILENT_AGENT
    if first_audio >= SLOW_FIRST_AUDIO_FROM:
        yield ConversationProblem.SLOW_FIRST_WORD
    if known.unanswered:
        yield ConversationProblem.UNANSWERED_SPEECH
    if known.turns and known.turns.p50_ms >= SLOW_TURN_FROM:
        yield ConversationProblem.SLOW_TURNS
    if any(it.is_heard for it in (known.from_caller, known.to_caller) if it):
        yield ConversationProblem.LOST_PACKETS
    has_words = report.get("pipeline") == "voice"  # the diagnostic one does not recognize speech
    if has_words and _roles(report) == {"agent"} and lasted >= SHORTEST_FOR_AN_ANSWER:
        yield ConversationProblem.SILENT_CALLER


def _first_audio(report: Mapping[str, Any], answered_at: int) -> int | None:
    """As the agent has measured it; from the transcript of an agent that has not."""
    if "first_audio_ms" in report:
        return natural(report["first_audio_ms"])
    spoke = (
        natural(line.get("at"))
        for line in _lines(report)
        if line.get("role") == "agent" and line.get("at")
    )
    first = min((at for at in spoke if at is not None), default=None)
    return None if first is None else max(0, first - answered_at)


def _turns(latencies: list[int]) -> Turns:
    return Turns(
        count=len(latencies),
        p50_ms=round(statistics.median(latencies)),
        max_ms=max(latencies),
        slow=sum(1 for latency in latencies if latency >= SLOW_TURN_FROM),
    )


def _roles(report: Mapping[str, Any]) -> set[str]:
    """Who is in the transcript, but for tools."""
    return {
        role for role in ("agent", "user") if any(it.get("role") == role for it in _lines(report))
    }


def _lines(report: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return map(mapping, entries(report, "transcript"))


def _packets(value: Any) -> Packets | None:
    received, lost = (natural(mapping(value).get(name)) for name in ("received", "lost"))
    return None if received is None or lost is None else Packets(received, lost)
