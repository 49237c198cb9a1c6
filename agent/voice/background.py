"""Sounds behind the conversation: of a place, and while the agent thinks."""

import asyncio

from livekit.agents import AudioConfig, BackgroundAudioPlayer, BuiltinAudioClip
from livekit.agents.utils.aio import cancel_and_wait

from agent.ending import Ending
from agent.voice.voice_call import VoiceCall

#: By the names that a profile uses.
CLIPS = {clip.value.removesuffix(".ogg"): clip for clip in BuiltinAudioClip}


async def background(voice: VoiceCall) -> Ending:
    """Never returns. Plays on a track of its own, which telephones hear mixed with the agent."""
    sounds = voice.profile.background
    player = BackgroundAudioPlayer(
        ambient_sound=_audio(sounds.ambient, sounds.volume),
        thinking_sound=_audio(sounds.thinking, sounds.volume),
    )
    if sounds.ambient or sounds.thinking:
        await player.start(room=voice.room, agent_session=voice.session)
    try:
        return await asyncio.Future()
    finally:
        await _close(player)


async def _close(player: BackgroundAudioPlayer) -> None:
    """Close `player`, with nothing left in its queue: see common/audio_source.py."""
    if player._mixer_atask:  # it fills the queue; without it nothing was started
        await cancel_and_wait(player._mixer_atask)
        player._audio_source.clear_queue()
    await player.aclose()


def _audio(name: str, volume: float) -> AudioConfig | None:
    return AudioConfig(CLIPS.get(name, name), volume=volume) if name else None
