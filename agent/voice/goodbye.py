"""The goodbye before a call reaches its `max_call_duration`, when the gateway cuts it off."""

import asyncio

from agent.ending import Ending
from agent.room import answered_caller
from agent.voice.speech import say
from agent.voice.voice_call import VoiceCall

#: Between two looks at whether a transfer still runs, in s.
INTERVAL = 0.5


async def max_duration(voice: VoiceCall) -> Ending:
    """Returns after the goodbye, `goodbye.before` seconds before the end of the longest call.

    A call that may not even last twice as long is ended after the half.
    """
    limit, goodbye = voice.call.max_call_duration, voice.profile.goodbye
    if not (limit and goodbye.before and goodbye.text):
        await asyncio.Event().wait()
    await answered_caller(voice.room, voice.call)
    await asyncio.sleep(max(limit - goodbye.before, limit / 2))
    while voice.may_be_silent():
        await asyncio.sleep(INTERVAL)
    voice.is_leaving = True
    if speech := voice.session.current_speech:
        speech.interrupt(force=True)
    await say(voice, goodbye.text)
    return Ending("the call reached its max_call_duration", "max_duration_reached")
