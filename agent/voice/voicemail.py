"""Outbound calls: who answers, a person or a machine, and what a machine gets to hear."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from livekit.agents import AMD, APIConnectOptions
from livekit.agents.llm import LLM, ChatContext
from livekit.agents.voice.amd import AMDCategory, AMDPredictionEvent

from agent.ending import Ending
from agent.voice.voice_call import VoiceCall

logger = logging.getLogger("agent.voice")

#: In s. Somebody who says nothing for so long is greeted; a call screening service may ask the
#: person it serves, who takes longer.
NO_SPEECH = 4.0
NO_SPEECH_SCREENED = 30.0
#: Who says no more than this, in s, is a person, whatever it was: no model is asked. Services that
#: screen calls have sentences of 2 s.
SHORT_GREETING = 1.0
#: After so long a pause, in s, they have said what they say first. Machines pause between their
#: sentences, too; and a recognizer that is asked only then still has its answer in time.
PAUSE = 1.0
#: How often a call is screened at most: services ask, then say that they are connecting.
MAX_SCREENINGS = 3
#: How long a machine's own greeting may last, and the pause after which its tone has come, in s.
MACHINE_TIMEOUT = 60.0
TONE_PAUSE = 1.5
#: What the detection may take beyond its timeout, in s: it first waits for the callee's audio.
SETUP_TIMEOUT = 6.0
CONNECT_OPTIONS = APIConnectOptions(max_retry=0, timeout=3.0)

IS_SCREENING = """What follows was heard after a telephone call was answered. Is it a call screening
service (on a mobile telephone, or an assistant) that asks the caller who they are or why they call,
or that says it will see whether the person is available? A menu that asks to press keys is none.
Answer with one word: yes or no."""

#: What is not in it is not known, or may change: behind a menu there may be a mailbox.
_IN_VOICEMAIL = {
    AMDCategory.HUMAN: False,
    AMDCategory.MACHINE_VM: True,
    AMDCategory.MACHINE_UNAVAILABLE: True,
}

Greet = Callable[[], Awaitable[Ending | None]]


async def greet_person(voice: VoiceCall, greet: Greet) -> Ending | None:
    """`greet`, once a person has answered; an Ending if a machine took the call.

    A menu is not greeted: the conversation goes on with it. Where voicemail.action is `none`, and
    on inbound calls, everybody is greeted at once.
    """
    if voice.call.direction != "outbound" or voice.profile.voicemail.action == "none":
        return await greet()
    voice.is_listening = True
    answer = await _answer(voice)
    category = answer.category if answer else AMDCategory.UNCERTAIN
    logger.info("callee.detected", extra=_described(category, answer))
    voice.in_voicemail = _IN_VOICEMAIL.get(category)
    if voice.in_voicemail:
        return await _leave(voice, category)
    if answer and category is AMDCategory.MACHINE_IVR:
        await _go_through_menu(voice, answer.transcript)
        return None
    voice.is_listening = False
    # The greeting is the answer to what they have said.
    voice.session.clear_user_turn()
    return await greet()


def _described(category: AMDCategory, answer: AMDPredictionEvent | None) -> dict[str, object]:
    """For the log: why it is this category, and how long they spoke, in s; not what they said."""
    reason = {"reason": answer.reason, "speech_s": answer.speech_duration} if answer else {}
    return {"category": category.value, **reason}


async def _answer(voice: VoiceCall) -> AMDPredictionEvent | None:
    """Who answered in the end; call screening is answered on the way. None: not found out."""
    screening, timeout = voice.profile.voicemail.screening, voice.profile.voicemail.timeout
    limits = timeout, min(NO_SPEECH, timeout)
    for _ in range(MAX_SCREENINGS):
        answer = await _detect(voice, *limits)
        if not (answer and screening and await _is_screening(voice, answer)):
            return answer
        logger.info("call.screened")
        await voice.session.say(screening, allow_interruptions=False)
        voice.session.clear_user_turn()
        limits = NO_SPEECH_SCREENED + timeout, NO_SPEECH_SCREENED
    return None


async def _detect(voice: VoiceCall, limit: float, no_speech: float) -> AMDPredictionEvent | None:
    """The framework's verdict; None without one, and then the callee counts as a person."""
    try:
        async with (
            asyncio.timeout(limit + SETUP_TIMEOUT),
            AMD(
                voice.session,
                llm=None,
                stt=None,
                participant_identity=voice.caller.identity if voice.caller else "",
                ivr_detection=False,
                # A long greeting is waited for below; the verdict itself is bounded.
                wait_until_finished=False,
                suppress_compatibility_warning=True,
                detection_options={
                    "timeout": limit,
                    "no_speech_threshold": no_speech,
                    "human_speech_threshold": SHORT_GREETING,
                    "human_silence_threshold": PAUSE,
                    "machine_silence_threshold": PAUSE,
                },
            ) as amd,
        ):
            try:
                return await amd.execute()
            finally:
                _drop_replies(voice)
    except (TimeoutError, RuntimeError, ValueError) as error:
        # No LLM that it can use, such as a realtime model, or the session has closed.
        logger.warning("amd.failed", extra={"error": f"{type(error).__name__}: {error}"})
        return None


def _drop_replies(voice: VoiceCall) -> None:
    """What the model would answer to whom the framework listened to; it was held back so far."""
    with contextlib.suppress(RuntimeError):  # the session is closed
        voice.session.interrupt(force=True)


async def _is_screening(voice: VoiceCall, answer: AMDPredictionEvent) -> bool:
    """For the framework a screening service is a menu (livekit-agents 1.8.9), or uncertain."""
    llm = voice.session.llm
    could_be = {AMDCategory.MACHINE_IVR, AMDCategory.UNCERTAIN}
    if not (answer.transcript and answer.category in could_be and isinstance(llm, LLM)):
        return False
    context = ChatContext.empty()
    context.add_message(role="system", content=IS_SCREENING)
    context.add_message(role="user", content=answer.transcript)
    try:
        async with asyncio.timeout(CONNECT_OPTIONS.timeout):
            response = await llm.chat(chat_ctx=context, conn_options=CONNECT_OPTIONS).collect()
    except Exception as error:
        # Without an answer it is a menu, as the framework says.
        logger.warning("screening.unknown", extra={"error": type(error).__name__})
        return False
    return response.text.strip().lower().startswith("yes")


async def _leave(voice: VoiceCall, category: AMDCategory) -> Ending:
    """Hang up, or leave the message after the tone where there is one to leave it after."""
    message = voice.profile.voicemail.message
    can_leave = category is AMDCategory.MACHINE_VM and message
    if voice.profile.voicemail.action != "leave_message" or not can_leave:
        return Ending("an answering machine answered", "voicemail_reached")
    await _until_quiet(voice)
    await voice.session.say(message, allow_interruptions=False)
    return Ending("a message was left on an answering machine", "voicemail_reached")


async def _until_quiet(voice: VoiceCall) -> None:
    """Until nothing has been heard for TONE_PAUSE, at most MACHINE_TIMEOUT."""
    loop = asyncio.get_running_loop()
    quiet_since, deadline = loop.time(), loop.time() + MACHINE_TIMEOUT
    while loop.time() < min(quiet_since + TONE_PAUSE, deadline):
        if voice.session.user_state == "speaking":
            quiet_since = loop.time()
        await asyncio.sleep(0.05)


async def _go_through_menu(voice: VoiceCall, transcript: str) -> None:
    """The model answers the menu; with `ivr` in the profile it also presses keys."""
    if voice.profile.ivr:
        await voice.session._start_ivr_detection(transcript=transcript)
    voice.is_listening = voice.profile.ivr
    await voice.recording.begin()
    voice.session.generate_reply()
