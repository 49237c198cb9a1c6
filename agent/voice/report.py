"""How the turns of a conversation went, from the session's history. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence

from livekit.agents.llm import ChatItem, ChatMessage
from livekit.agents.metrics import ModelUsage

from agent.record import Entry

#: Turns and models in a report at most.
MAX_TURNS = 1_000
MAX_MODELS = 50
#: Speech after which the caller leaves, or goes on, within so many s needs no answer.
ANSWER_DUE = 2.0

#: Where livekit-agents has the parts of a turn's latency, in the caller's message and the agent's.
_CALLERS_PART = {"end_of_turn_ms": "end_of_turn_delay", "transcription_ms": "transcription_delay"}
_AGENTS_PART = {"llm_ms": "llm_node_ttft", "tts_ms": "tts_node_ttfb"}


def turns_of(items: Sequence[ChatItem]) -> list[Entry]:
    """For each answer `latency_ms`, from the end of the caller's speech (`at`) to first audio.

    Of it: until it was clear that they had finished, until the transcript, the LLM's first token,
    the voice's first audio; all in ms, what is not known is left out.
    """
    turns: list[Entry] = []
    for said, answer, _ in _exchanges(items):
        if answer is None:
            continue
        stopped = said.metrics["stopped_speaking_at"]
        latency = answer.metrics["started_speaking_at"] - stopped
        turns.append(
            {
                "at": _ms(stopped),
                "latency_ms": _ms(latency),
                **_parts(said, _CALLERS_PART),
                **_parts(answer, _AGENTS_PART),
            }
        )
    return turns[:MAX_TURNS]


def unanswered_of(items: Sequence[ChatItem], ended_at: float) -> list[Entry]:
    """The caller's speech that got no answer: when it ended, and how long nothing came then.

    `ended_at`: when the conversation was over, in s since epoch.
    """
    unanswered: list[Entry] = []
    for said, answer, next_at in _exchanges(items):
        stopped = said.metrics["stopped_speaking_at"]
        waited = (ended_at if next_at is None else next_at) - stopped
        if answer is None and waited >= ANSWER_DUE:
            unanswered.append({"at": _ms(stopped), "duration_ms": _ms(waited)})
    return unanswered[:MAX_TURNS]


def usage_of(usage: Sequence[ModelUsage]) -> list[Entry]:
    """As livekit-agents has it, one entry for each model, without what is 0."""
    return [
        {"type": it.type, **it.model_dump(mode="json", exclude_defaults=True)}
        for it in usage[:MAX_MODELS]
    ]


def errors_of(errors: Counter[tuple[str, str, str, str]]) -> list[Entry]:
    """`{"type": "llm", "provider", "model", "error", "count"}` for each error of each model."""
    names = ("type", "provider", "model", "error")
    return [
        {**dict(zip(names, about, strict=True)), "count": count}
        for about, count in errors.most_common(MAX_MODELS)
    ]


def _exchanges(
    items: Sequence[ChatItem],
) -> Iterator[tuple[ChatMessage, ChatMessage | None, float | None]]:
    """What the caller said, the agent's first words then, and when the caller spoke again (s)."""
    said: ChatMessage | None = None
    answer: ChatMessage | None = None
    for item in items:
        if not isinstance(item, ChatMessage):
            continue
        if item.role == "user" and "stopped_speaking_at" in item.metrics:
            if said:
                yield said, answer, item.metrics.get("started_speaking_at", item.created_at)
            said, answer = item, None
        elif said and item.role == "assistant" and _answers(item, said):
            answer = answer or item
    if said:
        yield said, answer, None


def _answers(item: ChatMessage, said: ChatMessage) -> bool:
    started = item.metrics.get("started_speaking_at")
    return started is not None and started >= said.metrics["stopped_speaking_at"]


def _parts(message: ChatMessage, names: dict[str, str]) -> Entry:
    metrics = dict(message.metrics)
    found = {name: metrics.get(theirs) for name, theirs in names.items()}
    return {name: _ms(value) for name, value in found.items() if isinstance(value, float)}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
