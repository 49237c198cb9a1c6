"""The agent's first words, whose audio is made while it still rings: nobody waits for it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from livekit import rtc
from livekit.agents import APIError, tts
from livekit.agents.voice.transcription.text_transforms import replace

from agent.ending import Ending
from agent.voice.voice_call import VoiceCall

logger = logging.getLogger("agent.voice")

#: What the model is told where the profile has no greeting.
GREET = "Greet the person on the telephone in one short sentence."


class Greeting:
    """`prepare()` it while it rings, `say()` it once the caller can hear it."""

    def __init__(self, voice: VoiceCall) -> None:
        self._voice = voice
        self._text = voice.profile.greeting
        self._frames: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue()

    async def prepare(self) -> Ending | None:
        """Synthesise it; what fails is silence, which agent/voice/failure.py notices."""
        model = self._voice.session.tts
        try:
            if self._text and isinstance(model, tts.TTS):
                await self._synthesize(model)
        except APIError as error:
            logger.warning("greeting.failed", extra={"error": type(error).__name__})
        finally:
            self._frames.put_nowait(None)
        return None

    async def say(self) -> Ending | None:
        """Say it, or have the model greet; the caller may interrupt either.

        A recording is announced, and begins, before it.
        """
        await self._voice.recording.begin()
        session = self._voice.session
        if not self._text:
            await session.generate_reply(instructions=GREET)
        elif isinstance(session.tts, tts.TTS):
            await session.say(self._text, audio=self._prepared())
        else:
            await session.say(self._text)
        return None

    async def _synthesize(self, model: "tts.TTS[Any]") -> None:
        pronounce = dict(self._voice.profile.pronounce)
        text = "".join([part async for part in replace(pronounce)(_once(self._text))])
        options = self._voice.session.conn_options.tts_conn_options
        async with model.synthesize(text, conn_options=options) as stream:
            async for audio in stream:
                self._frames.put_nowait(audio.frame)

    async def _prepared(self) -> AsyncIterator[rtc.AudioFrame]:
        """What is there, and what is still to come."""
        while frame := await self._frames.get():
            yield frame


async def _once(text: str) -> AsyncIterator[str]:
    yield text
