"""What the caller says while the agent must not be interrupted is answered after that.

livekit-agents drops a turn that ends meanwhile: "skipping reply to user input, current speech
generation cannot be interrupted" (voice/agent_activity.py).
"""

import asyncio
import contextlib
import logging
import time
from collections import deque

from livekit.agents import (
    ConversationItemAddedEvent,
    UserInputTranscribedEvent,
    UserStateChangedEvent,
)
from livekit.agents.llm import ChatMessage

from agent.ending import Ending
from agent.voice.voice_call import VoiceCall

logger = logging.getLogger("agent.voice")

#: Between two looks at the session, in s.
INTERVAL = 0.1
#: So long after its end at the latest, in s, a turn that is answered is in the conversation.
MARGIN = 1.0
#: How many sentences are remembered.
MAX_SENTENCES = 20


async def overheard(voice: VoiceCall) -> Ending:
    """Never returns. A realtime model hears everything itself."""
    if voice.profile.realtime:
        await asyncio.Event().wait()
    sentences = _Sentences(voice)
    while True:
        await asyncio.sleep(INTERVAL)
        if voice.may_be_silent():
            sentences.dropped.clear()
        elif sentences.dropped and sentences.is_turn_over() and not voice.session.current_speech:
            logger.info("turn.overheard")
            said = " ".join(sentences.dropped)
            sentences.dropped.clear()
            with contextlib.suppress(RuntimeError):  # the session is closed
                voice.session.generate_reply(user_input=said)


class _Sentences:
    """Those of the caller that are not in the conversation: `dropped`, once the turn is over."""

    def __init__(self, voice: VoiceCall) -> None:
        self.dropped: deque[str] = deque(maxlen=MAX_SENTENCES)
        self._session = voice.session
        self._turn_takes = voice.profile.turn_handling.max_delay + MARGIN
        self._spoke_at = time.monotonic()
        voice.session.on("user_input_transcribed", self._on_words)
        voice.session.on("user_state_changed", self._on_state)
        voice.session.on("conversation_item_added", self._on_item)

    def is_turn_over(self) -> bool:
        is_quiet = time.monotonic() - self._spoke_at > self._turn_takes
        return is_quiet and self._session.user_state != "speaking"

    def _on_words(self, event: UserInputTranscribedEvent) -> None:
        self._spoke_at = time.monotonic()
        if event.is_final and (text := event.transcript.strip()):
            self.dropped.append(text)

    def _on_state(self, _: UserStateChangedEvent) -> None:
        self._spoke_at = time.monotonic()

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, ChatMessage) and event.item.role == "user":
            turn = event.item.text_content or ""
            left = [sentence for sentence in self.dropped if sentence not in turn]
            self.dropped.clear()
            self.dropped.extend(left)
