"""What was wrong with a call's conversation, and what was said around it. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gateway.calls.call import EventKind
from gateway.calls.conversation import (
    SILENT_FROM,
    SLOW_TURN_FROM,
    ConversationProblem,
    moments_in,
    turns_in,
)
from gateway.explanation.causes import Cause
from gateway.explanation.status import Status

#: A worker that reports to the gateway sends a report at the end of each call.
_LOST_REPORT = {EventKind.AGENT_READY, EventKind.REPORT_MISSED}
#: How many gaps are shown, of those the longest; how many lines before and after each; and how many
#: characters of a line.
GAPS_SHOWN = 5
LINES_BEFORE, LINES_AFTER = 2, 1
LINE_LIMIT = 200

#: Gaps that begin within so many ms are one, reported in two ways.
SAME_GAP = 1_000

#: The caller heard nothing that they called for: the conversation has failed however it ended.
_FAILURES = {ConversationProblem.NO_CONVERSATION, ConversationProblem.SILENT_AGENT}
_MODELS = "the report's turns and model_errors tell which model is slow: speech, LLM or voice"
NEXT_STEPS: Mapping[ConversationProblem, str] = {
    ConversationProblem.NO_CONVERSATION: "see the report's model_errors, and the worker's log for "
    "the call's id: the voice (TTS) or the LLM failed, or no greeting was due",
    ConversationProblem.SILENT_AGENT: "see the worker's log for the call's id: a model that did "
    "not answer; if the process stood still, the machine: CPU, memory (swap), and what may have "
    "stopped it",
    ConversationProblem.SLOW_FIRST_WORD: "see the worker's CPU at that time, and AGENT_MAX_CALLS; "
    "a greeting in agents.yaml is spoken at once, one that the LLM makes up is not",
    ConversationProblem.UNANSWERED_SPEECH: f"{_MODELS}; if the caller was not understood, "
    "not_understood counts it",
    ConversationProblem.SLOW_TURNS: _MODELS,
    ConversationProblem.LOST_PACKETS: "check the network between LiveKit and the worker (UDP), and "
    "the CPU of both",
    ConversationProblem.SILENT_CALLER: "listen to the recording, if there is one: if the caller "
    "speaks there, recognition fails; if not, audio comes from Jambonz to LiveKit one way only",
}


def with_conversation(cause: Cause, call: Mapping[str, Any]) -> Cause:
    """`cause`, but worse if something was wrong with the conversation, or its report is missing.

    `call` is the response of `GET /livekit-api/calls/{call_id}`.
    """
    conversation = call.get("conversation") or {}
    problems = [ConversationProblem(it) for it in conversation.get("problems", ())]
    texts = [IN_WORDS[problem](conversation) for problem in problems]
    steps = [NEXT_STEPS[problem] for problem in problems]
    longest = max((it["duration_ms"] for it in call.get("agent_silences") or ()), default=0)
    if longest and ConversationProblem.SILENT_AGENT not in problems:
        # A short one, or one of a call that nobody has answered.
        texts.append(_silent(longest))
        steps.append(NEXT_STEPS[ConversationProblem.SILENT_AGENT])
    if {entry["event"] for entry in call["timeline"]} >= _LOST_REPORT and not texts:
        texts.append("the agent sent no report: its process was stopped, was killed or is blocked")
        steps.append("look for the call's id in the worker's log")
    if not texts:
        return cause
    has_failed = longest >= SILENT_FROM or bool(_FAILURES & {*problems})
    status = Status.FAIL if has_failed else cause.status
    return Cause(
        Status.WARN if status is Status.OK else status,
        "; ".join([cause.text, *texts]),
        "\n".join(filter(None, dict.fromkeys([cause.next, *steps]))),
    )


def _slow_turns(conversation: Mapping[str, Any]) -> str:
    half, most = (conversation["turns"][name] / 1000 for name in ("p50_ms", "max_ms"))
    return f"answers were slow: half of them took {half:.1f} s or longer, one {most:.1f} s"


#: Each problem in words; the argument is the call's `conversation`.
IN_WORDS: Mapping[ConversationProblem, Callable[[Mapping[str, Any]], str]] = {
    ConversationProblem.NO_CONVERSATION: lambda it: (
        "there was no conversation: the agent was never heard"
    ),
    ConversationProblem.SILENT_AGENT: lambda it: _silent(it["longest_silence_ms"]),
    ConversationProblem.SLOW_FIRST_WORD: lambda it: (
        f"the agent's first word came {it['first_audio_ms'] / 1000:.1f} s after the answer"
    ),
    ConversationProblem.UNANSWERED_SPEECH: lambda it: (
        f"the caller spoke and got no answer, {it['unanswered']} x"
    ),
    ConversationProblem.SLOW_TURNS: _slow_turns,
    ConversationProblem.LOST_PACKETS: lambda it: (
        f"audio was lost between LiveKit and the agent: {_loss(it)}"
    ),
    ConversationProblem.SILENT_CALLER: lambda it: "nothing that the caller said was understood",
}


def _silent(duration_ms: int) -> str:
    return f"the agent was silent for {duration_ms / 1000:.1f} s: the caller heard nothing"


def _loss(conversation: Mapping[str, Any]) -> str:
    shares = []
    for direction, packets in conversation["packets"].items():
        if packets and packets["lost"]:
            share = 100 * packets["lost"] / (packets["received"] + packets["lost"])
            shares.append(f"{share:.0f} % {direction.replace('_', ' ')}")
    return ", ".join(shares)


class Line(NamedTuple):
    """`at` in ms since epoch; something that was said, or a gap in that."""

    at: int
    text: str


def said_around_gaps(call: Mapping[str, Any]) -> list[Line]:
    """The transcript's lines around each silence, slow answer and speech without an answer.

    Keys that the caller pressed are masked there, by the agent. Empty without a report, and where
    nothing was wrong.
    """
    report = call.get("report") or {}
    gaps: list[Line] = []
    for _, gap in sorted(_gaps(call, report), key=lambda it: -it[0]):
        # A slow answer is also a silence: the first word for it is enough.
        if len(gaps) < GAPS_SHOWN and all(abs(it.at - gap.at) > SAME_GAP for it in gaps):
            gaps.append(gap)
    said = [(it["at"], it) for it in report.get("transcript") or () if _is_line(it)]
    said.sort(key=lambda it: it[0])
    shown: dict[int, Line] = {}
    for gap in gaps:
        before = [index for index, (at, _) in enumerate(said) if at <= gap.at][-LINES_BEFORE:]
        after = [index for index, (at, _) in enumerate(said) if at > gap.at][:LINES_AFTER]
        shown |= {
            index: Line(said[index][0], _words_of(said[index][1])) for index in before + after
        }
    return sorted([*shown.values(), *gaps], key=lambda it: it.at)


def _gaps(call: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[tuple[int, Line]]:
    """Each with its duration in ms."""
    conversation = call.get("conversation") or {}
    if ConversationProblem.SLOW_FIRST_WORD in conversation.get("problems", ()):
        waited = conversation["first_audio_ms"]
        yield waited, Line(call["answer_timestamp"], _gap("no word", waited))
    for it in call.get("agent_silences") or ():
        yield it["duration_ms"], Line(it["at"], _gap("the agent was silent", it["duration_ms"]))
    for moment in moments_in(report, "unanswered"):
        yield moment.duration_ms, Line(moment.at, _gap("no answer", moment.duration_ms))
    for moment in turns_in(report):
        if moment.duration_ms >= SLOW_TURN_FROM:
            yield moment.duration_ms, Line(moment.at, _gap("slow answer", moment.duration_ms))


def _gap(what: str, duration_ms: int) -> str:
    return f"--- {what} for {duration_ms / 1000:.1f} s ---"


def _is_line(entry: Any) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get("at"), int)


def _words_of(line: Mapping[str, Any]) -> str:
    role = str(line.get("role") or "")
    if role == "tool":
        return f"tool: {line.get('name') or ''}{'' if line.get('ok', True) else ' failed'}"
    who, text = "caller" if role == "user" else role, str(line.get("text") or "")
    cut = text if len(text) <= LINE_LIMIT else f"{text[:LINE_LIMIT]} […]"
    return f"{who}: {cut}" if cut else who
