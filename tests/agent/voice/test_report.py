"""How the turns of a conversation went, from the session's history."""

from collections import Counter
from typing import Any

from livekit.agents.llm import ChatContext, ChatItem
from livekit.agents.metrics import LLMModelUsage

from agent.voice.report import MAX_TURNS, errors_of, turns_of, unanswered_of, usage_of


def history(*messages: tuple[str, dict[str, Any]]) -> list[ChatItem]:
    context = ChatContext.empty()
    for number, (role, metrics) in enumerate(messages):
        context.add_message(
            role=role,  # type: ignore[arg-type]
            content="words",
            created_at=float(number),
            metrics=metrics,  # type: ignore[arg-type]
        )
    return context.items


def user(start: float, stop: float, **metrics: float) -> tuple[str, dict[str, Any]]:
    return "user", {"started_speaking_at": start, "stopped_speaking_at": stop, **metrics}


def agent(start: float, **metrics: float) -> tuple[str, dict[str, Any]]:
    return "assistant", {"started_speaking_at": start, **metrics}


def test_a_turn_has_its_latency_and_the_parts_that_are_known() -> None:
    items = history(
        agent(0.5),
        user(2.0, 3.0, end_of_turn_delay=0.4, transcription_delay=0.25),
        agent(3.6, llm_node_ttft=0.1, tts_node_ttfb=0.05),
        agent(5.0, llm_node_ttft=0.3),
        user(8.0, 9.0),
        agent(9.5),
    )
    assert turns_of(items) == [
        {
            "at": 3000,
            "latency_ms": 600,
            "end_of_turn_ms": 400,
            "transcription_ms": 250,
            "llm_ms": 100,
            "tts_ms": 50,
        },
        {"at": 9000, "latency_ms": 500},
    ]
    assert unanswered_of(items, ended_at=30) == []


def test_speech_without_an_answer_is_listed_with_how_long_nothing_came() -> None:
    items = history(user(1, 2), user(8, 9), agent(9.5), user(20, 21))
    assert unanswered_of(items, ended_at=26) == [
        {"at": 2000, "duration_ms": 6000},
        {"at": 21000, "duration_ms": 5000},
    ]


def test_a_caller_who_goes_on_or_leaves_at_once_needs_no_answer() -> None:
    items = history(user(1, 2), user(2.5, 4), agent(4.5), user(6, 7))
    assert unanswered_of(items, ended_at=8) == []
    assert [turn["at"] for turn in turns_of(items)] == [4000]


def test_words_that_were_never_heard_are_no_answer() -> None:
    items = history(user(1, 2), ("assistant", {}))
    assert turns_of(items) == []
    assert len(unanswered_of(items, ended_at=20)) == 1


def test_turns_are_bounded() -> None:
    one = [user(1, 2), agent(3)]
    assert len(turns_of(history(*one * (MAX_TURNS + 5)))) == MAX_TURNS


def test_usage_is_one_entry_a_model_and_errors_are_counted() -> None:
    usage = LLMModelUsage(provider="openai", model="gpt-4.1", input_tokens=5)
    assert usage_of([usage]) == [
        {"type": "llm_usage", "provider": "openai", "model": "gpt-4.1", "input_tokens": 5}
    ]
    errors = Counter({("llm", "openai", "gpt-4.1", "APITimeoutError"): 4})
    assert errors_of(errors) == [
        {
            "type": "llm",
            "provider": "openai",
            "model": "gpt-4.1",
            "error": "APITimeoutError",
            "count": 4,
        }
    ]
