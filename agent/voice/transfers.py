"""Hands the caller to a person. The gateway does it: it knows who is allowed, and every way."""

import asyncio
import logging

from agent.ending import Ending
from agent.report import Reporter, TransferKind, TransferRefused
from agent.room import caller_in, inaudible_for, next_leg
from agent.voice.voice_call import VoiceCall

logger = logging.getLogger("agent.voice")

#: Of the caller's leg that comes back: why nobody took the call, if Jambonz and LiveKit tell.
REASON_ATTRIBUTE = "sip.h.x-transfer-reason"
#: The gateway's reasons in words for the model.
_WORDS = {
    "user_declined": "they declined",
    "dial_busy": "they are busy",
    "dial_no_answer": "they did not answer",
}


async def request_transfer(
    voice: VoiceCall, target: str, kind: TransferKind, summary: str = ""
) -> None:
    """Returns once the caller is on their way, or, `warm`, the target is in the call.

    Raises TransferRefused, with a reason in plain words.
    """
    reporter = Reporter(voice.call.report_url, job_id=voice.job.job.id, settings=voice.settings)
    logger.info("transfer.requested", extra={"kind": kind})
    try:
        await reporter.request_transfer(target, kind, summary)
    except TransferRefused as error:
        logger.warning("transfer.refused", extra={"kind": kind, "error": str(error)})
        raise


async def announce(voice: VoiceCall, target: str, summary: str) -> None:
    """Have `target` asked whether they take the caller, who waits for that outside of the room.

    Returns once the call is over for the agent. Raises TransferRefused: the caller hears the agent.
    """
    leg = caller_in(voice.room, voice.call)
    voice.is_away = True  # from now on: the leg may leave before the gateway has answered
    try:
        await request_transfer(voice, target, "announced", summary)
        async with asyncio.timeout(voice.call.transfer_timeout):
            caller = await next_leg(voice.room, voice.call, after=leg)
    except TimeoutError:
        voice.ends.end(Ending("the caller of a transfer did not come back", "agent_hangup"))
        return
    finally:
        voice.is_away = False
    if caller:
        voice.caller = caller
        await asyncio.sleep(inaudible_for(caller, voice.call))
        reason = caller.attributes.get(REASON_ATTRIBUTE, "")
        logger.info("transfer.declined", extra={"reason": reason})
        raise TransferRefused(_WORDS.get(reason, "nobody took the call"))
