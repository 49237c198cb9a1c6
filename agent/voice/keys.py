"""Keys that the caller presses become a turn of theirs in the conversation."""

import asyncio
import contextlib
import logging

from livekit import rtc
from livekit.agents.beta.workflows import GetDtmfTask

from agent.ending import Ending
from agent.voice.voice_call import VoiceCall

logger = logging.getLogger("agent.voice")

#: After so many seconds without a key the caller has pressed them all.
PAUSE = 2.0
#: The key that says so.
LAST_KEY = "#"
#: Keys of a turn at most: a longer one is answered in parts.
MAX_KEYS = 64


async def keys(voice: VoiceCall) -> Ending:
    """Never returns. The model gets `[keys 1 2 3]`; they stay out of the log, and of records."""
    pressed: asyncio.Queue[str] = asyncio.Queue(MAX_KEYS)

    def on_key(press: rtc.SipDTMF) -> None:
        if _is_for_model(voice, press):
            with contextlib.suppress(asyncio.QueueFull):
                pressed.put_nowait(press.digit)

    voice.room.on("sip_dtmf_received", on_key)
    try:
        while True:
            turn = [await pressed.get()]
            with contextlib.suppress(RuntimeError):  # what is said may not be interrupted
                voice.session.interrupt()
            turn += await _more(pressed, turn[0])
            logger.info("keys.pressed", extra={"keys": len(turn)})
            with contextlib.suppress(RuntimeError):  # the session is closed
                voice.session.generate_reply(user_input=f"[keys {' '.join(turn)}]")
    finally:
        voice.room.off("sip_dtmf_received", on_key)


async def _more(pressed: asyncio.Queue[str], key: str) -> list[str]:
    """What follows `key`, until LAST_KEY, which is left out, or a pause."""
    more: list[str] = []
    while key != LAST_KEY and len(more) < MAX_KEYS - 1:
        try:
            async with asyncio.timeout(PAUSE):
                key = await pressed.get()
        except TimeoutError:
            break
        if key != LAST_KEY:
            more.append(key)
    return more


def _is_for_model(voice: VoiceCall, press: rtc.SipDTMF) -> bool:
    """Whether the caller pressed it, while no tool asks for digits, and no target takes them."""
    identity = press.participant.identity if press.participant else ""
    if voice.caller is None or identity != voice.caller.identity or voice.may_be_silent():
        return False
    return not isinstance(voice.session.current_agent, GetDtmfTask)
