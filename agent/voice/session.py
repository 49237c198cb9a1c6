"""An AgentSession for a telephone, from a profile."""

from typing import Any

from livekit.agents import NOT_GIVEN, AgentSession
from livekit.agents.voice.room_io import AudioInputOptions, RoomOptions
from livekit.agents.voice.transcription import text_transforms

from agent.context import CallContext
from agent.profiles.profile import Profile, TurnHandling
from agent.voice.models import Models

#: In Hz: the best that telephone lines carry (G.722), and what voice detectors take.
INPUT_SAMPLE_RATE = 16_000
#: How long the end of a session waits for a last transcript, in s; the framework's 2 s would be
#: dead air before the hang-up.
CLOSE_TIMEOUT = 0.2
#: So long before the agent counts as failed the caller hears that they were not understood, in s.
UNDERSTOOD_BEFORE = 1.5
#: How long a recogniser may take at least, in s.
SHORTEST_TRANSCRIPTION = 1.0


def new_session(profile: Profile, models: Models) -> AgentSession[None]:
    """A session whose defaults suit a telephone."""
    return AgentSession(
        stt=models.stt or NOT_GIVEN,
        vad=models.vad,
        llm=models.llm,
        tts=models.tts or NOT_GIVEN,
        turn_handling=_turn_handling(profile.turn_handling),
        stt_context_options={"keyterms": list(profile.keyterms)} if profile.keyterms else NOT_GIVEN,
        tts_text_transforms=_text_transforms(profile),
        # Telephone networks cancel echo. With a warm-up the agent does not hear the caller for the
        # first 3 s in which it speaks.
        aec_warmup_duration=None,
        ivr_detection=profile.ivr,
        user_away_timeout=profile.silence.after or None,
        transcription_timeout=max(
            profile.failure.after - UNDERSTOOD_BEFORE, SHORTEST_TRANSCRIPTION
        ),
        session_close_transcript_timeout=CLOSE_TIMEOUT,
        conn_options=models.conn_options,
    )


def room_options(call: CallContext) -> RoomOptions:
    """Only the caller is listened to. Who leaves, and what that means, agent/room.py decides."""
    return RoomOptions(
        audio_input=AudioInputOptions(sample_rate=INPUT_SAMPLE_RATE, pre_connect_audio=False),
        audio_output=False,
        text_input=False,
        text_output=False,
        participant_identity=call.caller_identity or NOT_GIVEN,
        close_on_disconnect=False,
    )


def _turn_handling(turns: TurnHandling) -> Any:
    return {
        **({} if turns.detection == "model" else {"turn_detection": turns.detection}),
        "endpointing": {"min_delay": turns.min_delay, "max_delay": turns.max_delay},
        "interruption": {
            "enabled": turns.interruptions,
            "mode": "vad",
            "min_duration": turns.min_interruption,
            "false_interruption_timeout": turns.false_interruption_timeout,
            # What the caller says while the agent must not be interrupted is heard: overheard.py.
            "discard_audio_if_uninterruptible": False,
        },
    }


def _text_transforms(profile: Profile) -> Any:
    """What is changed in a text before it is spoken."""
    spoken = [text_transforms.replace(dict(profile.pronounce))] if profile.pronounce else []
    return ["filter_markdown", "filter_emoji", *spoken]
