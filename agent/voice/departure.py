"""Ends the conversation when the caller has left."""

from agent.ending import Ending
from agent.room import ROOM_ENDED, caller_in, departure
from agent.voice.voice_call import VoiceCall


async def caller_departure(voice: VoiceCall) -> Ending:
    """Once the caller has left for good, or the room has ended.

    A caller whom somebody is asked to take leaves the room, and comes back if nobody does.
    """
    while True:
        detail = await departure(voice.room, voice.call)
        is_back = caller_in(voice.room, voice.call) is not None
        if detail == ROOM_ENDED or not (voice.is_away or is_back):
            return Ending(detail)
