"""A model that fails is heard: the agent tries once more, then a recording says so.

Nothing here depends on which model fails, or how: the caller has waited too long, or waits for what
will not come.
"""

import asyncio
import contextlib
import logging
import math
import time
from pathlib import Path

from agent.ending import Ending
from agent.report import TransferRefused
from agent.room import caller_in, until
from agent.voice.speech import Clip, own_clip, play, read_clip
from agent.voice.symptoms import Symptoms
from agent.voice.transfers import request_transfer
from agent.voice.voice_call import VoiceCall

logger = logging.getLogger("agent.voice")

#: Between two looks at the session, in s.
INTERVAL = 0.1
#: Before the models are asked once more, in s.
PAUSE = 0.5
#: How long a caller who is handed on may still be here, in s.
TRANSFER_TIMEOUT = 30.0
#: How often in a row the caller is asked to say it again; noise is no failure.
APOLOGIES = 2

WAIT = ("wait.wav", "One moment, please.")
FAILURE = (
    "failure.wav",
    "I am sorry, something is not working here. Please call again later. Goodbye.",
)
FAILURE_BEFORE_TRANSFER = (
    "failure_transfer.wav",
    "I am sorry, something is not working here. One moment, I will connect you.",
)


async def model_failure(voice: VoiceCall) -> Ending:
    """Returns once the caller has got no answer twice in a row, and has heard that."""
    symptoms = Symptoms(voice)
    await _until_given_up(voice, symptoms)
    return await give_up(voice, symptoms.cause())


async def _until_given_up(voice: VoiceCall, symptoms: Symptoms) -> None:
    apologies, retried_at, is_greeted = 0, math.inf, False
    while not symptoms.is_closed:
        await asyncio.sleep(INTERVAL)
        if voice.caller is None or voice.may_be_silent():
            continue
        if symptoms.answered_at > retried_at:
            retried_at = math.inf
            symptoms.forget_errors()
        if symptoms.is_deaf or voice.unheard > APOLOGIES:
            return
        apologies = min(apologies, voice.unheard)
        if voice.unheard > apologies:
            apologies = voice.unheard
            with contextlib.suppress(RuntimeError):  # the session is closed
                voice.session.say(voice.profile.failure.not_understood)
        elif symptoms.is_mute():
            if retried_at == math.inf:
                logger.warning("model.retried", extra={"error": symptoms.cause()})
                is_greeted = symptoms.spoke_at > -math.inf
                await play(voice, _clip(voice.profile.failure.wait_clip, WAIT))
                retried_at = time.monotonic()
            elif not _is_worth_a_try(symptoms, retried_at):
                return
            await _try_again(voice, symptoms, is_greeted)


def _is_worth_a_try(symptoms: Symptoms, retried_at: float) -> bool:
    """Whether the models may answer yet before the caller has waited as long again."""
    left = retried_at + symptoms.patience - time.monotonic()
    return symptoms.may_recover and left > PAUSE


async def _try_again(voice: VoiceCall, symptoms: Symptoms, is_greeted: bool) -> None:
    """Ask the models once more: most failures are over soon."""
    symptoms.tried_again()
    await asyncio.sleep(PAUSE)
    if (speech := voice.session.current_speech) and not speech.done():
        return  # an answer is on its way already
    with contextlib.suppress(RuntimeError):  # the session is closed
        if voice.profile.greeting and not is_greeted:
            voice.session.say(voice.profile.greeting)
        else:
            voice.session.generate_reply()


async def give_up(voice: VoiceCall, cause: str) -> Ending:
    """Tell the caller, then hand them on, or end the call. `cause` names the model."""
    voice.is_leaving = True
    logger.error("model.failed", extra={"error": cause})
    voice.record.errors.append(cause)
    failure = voice.profile.failure
    await play(voice, _clip(failure.clip, FAILURE_BEFORE_TRANSFER if failure.transfer else FAILURE))
    if failure.transfer and await _hand_on(voice, failure.transfer):
        return Ending(cause)
    return Ending(cause, "agent_error")


async def _hand_on(voice: VoiceCall, target: str) -> bool:
    """Whether the caller has left for `target`."""

    def is_gone() -> bool | None:
        return caller_in(voice.room, voice.call) is None or None

    try:
        await request_transfer(voice, target, "cold")
        async with asyncio.timeout(TRANSFER_TIMEOUT):
            await until(voice.room, ("participant_disconnected", "disconnected"), is_gone)
    except TransferRefused as error:
        voice.record.errors.append(f"transfer: {error}")
    except TimeoutError:
        voice.record.errors.append("transfer: the caller is still here")
    else:
        return True
    return False


def _clip(path: str, default: tuple[str, str]) -> Clip:
    """The operator's, or the default: also if theirs cannot be read."""
    if path:
        try:
            return read_clip(Path(path))
        except ValueError as error:
            logger.error("clip.unusable", extra={"error": str(error)})
    return own_clip(*default)
