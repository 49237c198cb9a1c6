"""What the record of a call learns from its session, as it happens."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents import (
    AgentStateChangedEvent,
    APITimeoutError,
    ConversationItemAddedEvent,
    ErrorEvent,
    UserStateChangedEvent,
)
from livekit.agents.llm import ChatMessage, LLMError
from livekit.agents.stt import STTError

from agent.record import Record
from agent.voice.observer import Observer


class Session(rtc.EventEmitter[str]):
    """The events of a session whose audio plays while its `source` has some queued (s)."""

    def __init__(self) -> None:
        super().__init__()
        self.agent_state: Any = "listening"
        self.source = SimpleNamespace(queued_duration=0.0)
        leaf = SimpleNamespace(next_in_chain=None, _audio_source=self.source)
        self.output = SimpleNamespace(audio=SimpleNamespace(next_in_chain=leaf))


class Watched:
    """An observed session, and the clock that both go by."""

    def __init__(self) -> None:
        self.now, self.is_silent_on_purpose = 100.0, False
        self.session, self.record = Session(), Record()
        self.observer = Observer(
            cast(Any, self.session),
            self.record,
            lambda: self.is_silent_on_purpose,
            clock=lambda: self.now,
        )

    def agent(self, state: Any) -> None:
        self.observer.check()  # as four times a second
        event = AgentStateChangedEvent(
            old_state=cast(Any, self.session.agent_state), new_state=state
        )
        self.session.agent_state = state
        self.session.source.queued_duration = 0.2 if state == "speaking" else 0.0
        self.session.emit("agent_state_changed", event)

    def caller_speaks(self, seconds: float) -> None:
        event = UserStateChangedEvent(old_state="listening", new_state="speaking")
        self.session.emit("user_state_changed", event)
        self.now += seconds
        event = UserStateChangedEvent(old_state="speaking", new_state="listening")
        self.session.emit("user_state_changed", event)

    def says(self, role: Any, text: str, **metrics: float) -> None:
        message = ChatMessage(role=role, content=[text], metrics=cast(Any, metrics))
        self.session.emit("conversation_item_added", ConversationItemAddedEvent(item=message))

    def fails(self, error: Any, *, recoverable: bool) -> None:
        error = error(
            timestamp=1.0, label="x", error=APITimeoutError("late"), recoverable=recoverable
        )
        source = SimpleNamespace(model="gpt-4.1", provider="openai")
        self.session.emit("error", ErrorEvent(error=error, source=source))


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_the_time_until_an_answer_is_the_longest_silence(watched: Watched) -> None:
    for waits in (1.0, 3.0, 2.0):
        watched.caller_speaks(2.0)
        watched.says("user", "Hello?")
        watched.agent("thinking")
        watched.now += waits
        watched.agent("speaking")
        watched.now += 4.0
        watched.agent("listening")
    assert watched.record.longest_silence_ms == 3000
    assert watched.record.mute == []


def test_an_answer_that_never_comes_is_noted_when_the_call_ends(watched: Watched) -> None:
    watched.caller_speaks(2.0)
    watched.says("user", "Hello?")
    watched.agent("thinking")
    watched.now += 1.0
    watched.fails(LLMError, recoverable=False)
    watched.agent("listening")
    watched.now += 8.0
    assert watched.record.mute_since == 102.0
    watched.record.close()
    (mute,) = watched.record.mute
    assert mute["duration_ms"] == 9000
    assert watched.record.mute_since is None
    watched.now += 60.0
    watched.record.close()
    assert len(watched.record.mute) == 1


def test_a_voice_that_stops_in_the_middle_is_noted(watched: Watched) -> None:
    watched.agent("speaking")
    watched.now += 1.0
    assert watched.record.mute_since is None
    watched.session.source.queued_duration = 0.0
    watched.now += 7.0
    assert watched.record.mute_since == 101.0


def test_what_no_voice_has_said_is_not_in_the_transcript(watched: Watched) -> None:
    watched.says("assistant", "Good day.")
    watched.says("assistant", "Hello?", started_speaking_at=5.0)
    assert [line["text"] for line in watched.record.transcript] == ["Hello?"]


@pytest.mark.parametrize(
    ("error", "recoverable", "waits"),
    [(LLMError, False, True), (LLMError, True, False), (STTError, False, False)],
)
def test_whose_failure_leaves_the_caller_waiting(
    watched: Watched, error: Any, recoverable: bool, waits: bool
) -> None:
    watched.fails(error, recoverable=recoverable)
    watched.now += 6.0
    assert (watched.record.mute_since is not None) is waits
    kind = "llm" if error is LLMError else "stt"
    assert watched.observer.errors == {(kind, "openai", "gpt-4.1", "APITimeoutError"): 1}


def test_an_agent_that_may_be_silent_keeps_nobody_waiting(watched: Watched) -> None:
    watched.says("user", "Hello?")
    watched.is_silent_on_purpose = True
    watched.now += 30.0
    assert watched.record.mute_since is None
    watched.is_silent_on_purpose = False
    watched.now += 6.0
    assert watched.record.mute_since == 130.0


def test_what_is_said_has_the_time_at_which_it_began(watched: Watched) -> None:
    watched.says("user", "[keys 1 2]", started_speaking_at=5.0)
    watched.says("assistant", "Thank you.", started_speaking_at=7.5)
    watched.says("system", "Be brief.")
    assert [(entry["at"], entry["text"]) for entry in watched.record.transcript] == [
        (5000, "[keys]"),
        (7500, "Thank you."),
    ]


def test_the_first_word_of_the_agent_is_its_first_audio(watched: Watched) -> None:
    watched.record.caller_answered()
    watched.agent("thinking")
    assert watched.record.first_audio_ms is None
    watched.agent("speaking")
    assert watched.record.first_audio_ms is not None
