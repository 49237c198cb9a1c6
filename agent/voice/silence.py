"""A caller who says nothing is asked whether they are there, then the call ends."""

import asyncio

from livekit.agents import ConversationItemAddedEvent, UserStateChangedEvent
from livekit.agents.llm import ChatMessage

from agent.ending import Ending
from agent.voice.failure import give_up
from agent.voice.speech import say
from agent.voice.symptoms import NO_WORDS
from agent.voice.voice_call import VoiceCall


async def silence(voice: VoiceCall) -> Ending:
    """Returns once all prompts, and the goodbye, have got no sound from the caller.

    The session counts the time (`user_away_timeout`): not while the agent speaks or a tool runs.
    A caller who speaks without being understood is not silent: then the recogniser has failed.
    """
    settings = voice.profile.silence
    caller = _Caller(voice)
    while True:
        await caller.away.wait()
        caller.away.clear()
        # A caller who waits for the agent is not silent.
        if voice.caller and not voice.may_be_silent() and voice.observer.check() is None:
            if caller.asked < len(settings.prompts):
                caller.asked += 1
                await caller.speaks_during(settings.prompts[caller.asked - 1])
            elif voice.unheard:
                return await give_up(voice, NO_WORDS)
            elif not settings.goodbye or not await caller.speaks_during(settings.goodbye):
                return Ending("the caller was silent", "inactivity")
        # Else they are away until they speak, and no time is counted.
        voice.session.reset_away_timer()


class _Caller:
    """`away` is set when they have said nothing for a while, after having been `asked` so often."""

    def __init__(self, voice: VoiceCall) -> None:
        self.away = asyncio.Event()
        self.asked = 0
        self._signs = 0
        self._voice = voice
        voice.session.on("user_state_changed", self._on_state)
        voice.session.on("conversation_item_added", self._on_item)

    async def speaks_during(self, text: str) -> bool:
        """Say `text`, which they may interrupt."""
        signs = self._signs
        await say(self._voice, text, allow_interruptions=True)
        return self._signs > signs

    def _on_state(self, event: UserStateChangedEvent) -> None:
        if event.new_state == "away":
            self.away.set()
            return
        self.away.clear()
        if event.new_state == "speaking":
            self._sign()

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        # Keys that they have pressed, too, or words in which no voice was detected.
        if isinstance(event.item, ChatMessage) and event.item.role == "user":
            self._sign()

    def _sign(self) -> None:
        self._signs += 1
        self.asked = 0
