"""Which of an agent's tracks the simulated caller hears."""

import asyncio
from types import SimpleNamespace
from typing import Any

from livekit import rtc

from gateway.tools.simulate.caller import BACKGROUND_AUDIO, Caller


async def test_the_sounds_behind_the_agent_are_not_taken_for_its_voice() -> None:
    caller: Any = Caller(rtc.Room())
    agent = SimpleNamespace(kind=rtc.ParticipantKind.PARTICIPANT_KIND_AGENT)
    background, voice = (SimpleNamespace(kind=rtc.TrackKind.KIND_AUDIO) for _ in range(2))
    caller._on_track(background, SimpleNamespace(name=BACKGROUND_AUDIO), agent)
    caller._on_track(voice, SimpleNamespace(name="roomio_audio"), agent)
    async with asyncio.timeout(1):
        assert await caller._agent_audio is voice
