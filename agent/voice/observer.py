"""What happens in a session, written into the call's record as it happens."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from livekit.agents import (
    AgentSession,
    AgentStateChangedEvent,
    ConversationItemAddedEvent,
    ErrorEvent,
    SpeechCreatedEvent,
    UserInputTranscribedEvent,
    UserStateChangedEvent,
)
from livekit.agents.llm import ChatMessage, FunctionCall
from livekit.agents.voice.events import ToolCallEnded, ToolCallStarted, ToolExecutionUpdatedEvent

from agent.record import Record, Role
from agent.voice.waiting import Waiting

logger = logging.getLogger("agent.voice")

#: From how long on, in s, it is noted that the caller waited for the agent.
MUTE_FROM = 5.0
#: Tools at most that run at once; of more the duration is not noted.
MAX_RUNNING = 100

_ROLES: dict[str, Role] = {"user": "user", "assistant": "agent"}


class Observer:
    """Watches one session. `errors` counts the models' errors: (`llm`, provider, model, error)."""

    def __init__(
        self,
        session: AgentSession[None],
        record: Record,
        may_be_silent: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waiting = Waiting()
        self.errors: Counter[tuple[str, str, str, str]] = Counter()
        self.not_understood = 0
        self._session = session
        self._record = record
        self._may_be_silent = may_be_silent
        self._clock = clock
        self._tools: dict[str, tuple[FunctionCall, float]] = {}
        self._mute_since: float | None = None
        record.look = self.check
        session.on("conversation_item_added", self._on_item)
        session.on("tool_execution_updated", self._on_tool)
        session.on("user_state_changed", self._on_user_state)
        session.on("agent_state_changed", self._on_agent_state)
        session.on("user_input_transcribed", self._on_transcribed)
        session.on("user_transcription_timeout", self._on_not_understood)
        session.on("speech_created", self._on_speech)
        session.on("error", self._on_error)

    def check(self) -> float | None:
        """Since when the caller waits; notes a wait that has ended. To be called often."""
        self.waiting.is_excused = self._record.is_over or self._may_be_silent()
        since = self.waiting.since(self._clock(), is_playing=_is_playing(self._session))
        before, self._mute_since = self._mute_since, since
        if before is not None and before != since:
            self._note((self._clock() if since is None else since) - before)
        return since

    def _note(self, waited: float) -> None:
        duration = round(waited * 1000)
        self._record.longest_silence_ms = max(self._record.longest_silence_ms, duration)
        if waited >= MUTE_FROM:
            self._record.add_silence(self._record.mute, duration)
            logger.warning("agent.mute", extra={"seconds": round(waited, 1)})

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, ChatMessage) or item.role not in _ROLES:
            return
        began, role = item.metrics.get("started_speaking_at"), _ROLES[item.role]
        if role == "agent" and not began:
            return  # its TTS failed: the caller has not heard it
        if text := item.text_content:
            if role == "user":
                self.waiting.caller_said(self._clock())
            at = _ms(began or item.created_at)
            self._record.said(role, text, at=at, interrupted=item.interrupted)

    def _on_tool(self, event: ToolExecutionUpdatedEvent) -> None:
        update = event.update
        if isinstance(update, ToolCallStarted) and len(self._tools) < MAX_RUNNING:
            call = update.function_call
            self._tools[call.call_id] = call, event.created_at
        elif isinstance(update, ToolCallEnded) and update.call_id in self._tools:
            call, began = self._tools.pop(update.call_id)
            self._record.used_tool(
                call.name,
                call.arguments,
                at=_ms(began),
                duration_ms=_ms(event.created_at - began),
                ok=update.status == "done",
            )

    def _on_user_state(self, event: UserStateChangedEvent) -> None:
        self.check()
        self.waiting.caller_state(event.new_state, self._clock())
        self.check()

    def _on_agent_state(self, event: AgentStateChangedEvent) -> None:
        self.check()
        self.waiting.agent_state(event.new_state, self._clock())
        if event.new_state == "speaking":
            self._record.agent_speaks()
        self.check()

    def _on_transcribed(self, event: UserInputTranscribedEvent) -> None:
        if event.is_final and event.transcript.strip():
            self.waiting.caller_said(self._clock())
            self.check()

    def _on_not_understood(self, _: object) -> None:
        self.not_understood += 1
        self.waiting.caller_said(self._clock())
        self.check()

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        """A greeting, a prompt, an answer to keys: nobody has said anything, and it is due."""
        if event.user_initiated and self._session.agent_state != "speaking":
            self.waiting.owe(self._clock())
            self.check()

    def _on_error(self, event: ErrorEvent) -> None:
        kind = str(getattr(event.error, "type", "unknown")).removesuffix("_error")
        model = getattr(event.source, "model", ""), getattr(event.source, "provider", "")
        error = type(getattr(event.error, "error", event.error)).__name__
        self.errors[(kind, str(model[1]), str(model[0]), error)] += 1
        # Of a recogniser that failed nobody expects anything until they have spoken.
        if kind != "stt" and not getattr(event.error, "recoverable", False):
            self.waiting.owe(self._clock())
            self.check()


def _is_playing(session: AgentSession[None]) -> bool:
    """Whether audio goes out; a session without audio, in text, always plays."""
    output = session.output.audio
    while output is not None and output.next_in_chain is not None:
        output = output.next_in_chain
    source = getattr(output, "_audio_source", None)  # the framework has no name for it
    return source is None or source.queued_duration > 0


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
