"""The signs that a model of a session fails: its errors, and a caller who waits for the agent."""

import math
import time
from collections.abc import Callable

from livekit.agents import (
    AgentStateChangedEvent,
    APIStatusError,
    CloseEvent,
    CloseReason,
    ErrorEvent,
    FunctionToolsExecutedEvent,
    UserInputTranscribedEvent,
)
from livekit.agents.metrics import LLMModelUsage
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.events import (
    SessionUsageUpdatedEvent,
    SpeechCreatedEvent,
    ToolCallStarted,
    ToolExecutionUpdatedEvent,
)

from agent.voice.voice_call import VoiceCall

#: What is left at least for the answer once the turn detector lets a turn end, in s.
LEAST_FOR_ANSWER = 2.0
#: How often in a row the recogniser may fail; each time it has tried more than once.
RECOGNISER_FAILURES = 2
#: Codes in the body of a refusal, such as OpenAI's `insufficient_quota`, are so long at most.
LONGEST_CODE = 64
#: Causes of an error that are looked at; a chain of them may be a circle.
LONGEST_CHAIN = 10
NO_WORDS = "stt: speech was heard, and no words"


class Symptoms:
    """Of one session. Times are of `time.monotonic`.

    `spoke_at`: when the agent began to speak last. `answered_at`: when it had spoken to the end,
    with no model failing.
    """

    def __init__(self, voice: VoiceCall, clock: Callable[[], float] = time.monotonic) -> None:
        self.spoke_at = self.answered_at = -math.inf
        self.is_closed = False
        turns = voice.profile.turn_handling
        patience = max(voice.profile.failure.after, turns.max_delay + LEAST_FOR_ANSWER)
        # A caller counts as silent only after `min_silence`.
        self.patience = patience - turns.min_silence
        self._voice = voice
        self._clock = clock
        self._errors: dict[str, str] = {}
        self._answer: SpeechHandle | None = None  # the last one that the LLM was asked for
        self._failed: SpeechHandle | None = None
        self._has_error = self._may_recover = False
        self._recogniser_failures = 0
        self._says_text = False
        self._llm_tokens, self._llm_done_at = 0, -math.inf
        self._tools: set[str] = set()
        self._tools_done_at = self._excused_at = -math.inf
        session = voice.session
        session.on("agent_state_changed", self._on_agent_state)
        session.on("user_input_transcribed", self._on_words)
        session.on("user_transcription_timeout", self._on_no_words)
        session.on("speech_created", self._on_speech)
        session.on("session_usage_updated", self._on_usage)
        session.on("tool_execution_updated", self._on_tool)
        session.on("function_tools_executed", self._on_tools_done)
        session.on("error", self._on_error)
        session.on("close", self._on_close)

    @property
    def is_deaf(self) -> bool:
        """The recogniser is dead, and the caller has spoken to it in vain."""
        return self._voice.unheard > 0 and self._recogniser_failures >= RECOGNISER_FAILURES

    @property
    def _has_failed(self) -> bool:
        """An answer has failed that is due.

        The LLM is asked before the caller's turn is over. What it answers is scheduled when the
        turn ends, or thrown away if they go on speaking.
        """
        return self._has_error and (self._failed is None or self._failed.scheduled)

    @property
    def may_recover(self) -> bool:
        """A model has failed in a way that may be over soon; none is if a key is wrong."""
        return self._has_failed and self._may_recover

    def is_mute(self) -> bool:
        """The caller has waited too long for the agent, or waits for what will not come.

        Tools have fillers and limits of their own; one that wants no answer is answer enough.
        """
        session, since = self._voice.session, self._voice.observer.check()
        if self._tools:
            return False
        if self._has_failed and "speaking" not in {session.agent_state, session.user_state}:
            return True
        if since is None or since <= self._excused_at:
            return False
        return self._clock() - max(since, self._tools_done_at) >= self.patience

    def tried_again(self) -> None:
        """The models have been asked once more."""
        self._has_error = False

    def forget_errors(self) -> None:
        """The agent has answered."""
        self._errors.clear()

    def cause(self) -> str:
        """Which model fails, and how: without secrets, numbers and what people say."""
        if self._errors:
            model, error = next(reversed(self._errors.items()))
            return f"{model}: {error}"
        if self._voice.unheard:
            return NO_WORDS
        if self._voice.profile.realtime:
            return "realtime: no answer in time"
        has_text = self._says_text or self._llm_done_at > self._clock() - self.patience
        return f"{'tts' if has_text else 'llm'}: no answer in time"

    def _on_agent_state(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self.spoke_at = self._clock()
        elif event.old_state == "speaking" and not self._has_failed:
            self.answered_at = self._clock()

    def _on_words(self, event: UserInputTranscribedEvent) -> None:
        if event.transcript.strip():
            # A new turn, with new answers. The next may have failed before its last words came.
            self._voice.unheard = self._recogniser_failures = 0
            if self._has_failed:
                self._has_error = False
            self._errors.pop("stt", None)

    def _on_no_words(self, _: object) -> None:
        self._voice.unheard += 1

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        self._says_text = event.source == "say"
        if not self._says_text:
            self._answer = event.speech_handle

    def _on_usage(self, event: SessionUsageUpdatedEvent) -> None:
        models = event.usage.model_usage
        tokens = sum(it.output_tokens for it in models if isinstance(it, LLMModelUsage))
        if tokens > self._llm_tokens:
            self._llm_tokens, self._llm_done_at = tokens, self._clock()

    def _on_tool(self, event: ToolExecutionUpdatedEvent) -> None:
        # A tool that reports progress lets the conversation go on.
        if isinstance(event.update, ToolCallStarted):
            self._tools.add(event.update.function_call.call_id)
        elif call_id := getattr(event.update, "call_id", ""):
            self._tools.discard(call_id)
            self._tools_done_at = self._clock()

    def _on_tools_done(self, event: FunctionToolsExecutedEvent) -> None:
        if not event.has_tool_reply:
            self._excused_at = self._clock()

    def _on_error(self, event: ErrorEvent) -> None:
        model = str(getattr(event.error, "type", "model")).removesuffix("_error")
        error = getattr(event.error, "error", event.error)
        self._errors.pop(model, None)  # the last one is the last in the dict
        self._errors[model] = _in_words(error)
        is_final = not getattr(event.error, "recoverable", False)
        if model == "stt":
            self._recogniser_failures += is_final
        elif is_final and not self._tools:
            self._has_error, self._may_recover = True, getattr(error, "retryable", True)
            self._failed = self._answer if model == "llm" else None

    def _on_close(self, event: CloseEvent) -> None:
        self.is_closed = event.reason == CloseReason.ERROR


def _in_words(error: object) -> str:
    """Its type, status and code. Never its text: providers repeat keys in it, and prompts."""
    name = type(error).__name__
    if not isinstance(error, APIStatusError):
        root = _root(error)
        return name if root is error else f"{name} ({type(root).__name__})"
    body = error.body if isinstance(error.body, dict) else {}
    detail = body.get("error", body)
    code = detail.get("code") if isinstance(detail, dict) else None
    is_code = isinstance(code, str) and code.isidentifier() and len(code) <= LONGEST_CODE
    return f"{name} {error.status_code}{f' {code}' if is_code else ''}"


def _root(error: object) -> object:
    """What `error` was caused by in the end."""
    for _ in range(LONGEST_CHAIN):
        cause = getattr(error, "__cause__", None)
        if cause is None:
            break
        error = cause
    return error
