"""From a profile to livekit-agents' models, with time limits that suit a telephone call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from livekit.agents import APIConnectOptions, inference, llm, stt, tts, vad
from livekit.agents.voice.agent_session import SessionConnectOptions

from agent.profiles.checks import Found
from agent.profiles.model_access import ModelAccess
from agent.profiles.model_choice import ModelProblem, choose, named_models
from agent.profiles.profile import AgentsFile, Profile
from agent.voice.plugins import import_plugin, make, problems_of
from agent.voice.prompt_models import PromptSTT, PromptTTS

#: Of `failure.after`; the rest is left for what else a turn takes.
ATTEMPTS_SHARE = 0.8
#: Failures of a call at most; whether it goes on after one is decided by the conversation, not by
#: the session.
MAX_ERRORS = 1000

LLM = llm.LLM[Any]
STT = stt.STT[Any]
TTS = tts.TTS[Any]


@dataclass(frozen=True)
class Models:
    """What an AgentSession needs; a speech-to-speech `llm` has no STT and TTS beside it."""

    llm: LLM | llm.RealtimeModel
    vad: vad.VAD
    conn_options: SessionConnectOptions
    stt: STT | None = None
    tts: TTS | None = None


def model_problems(profile: Profile, access: ModelAccess) -> Found:
    """What is wrong with the models of a profile.

    Imports their plugins and makes each model once: it is the plugin that knows which key it lacks.
    """
    for kind, path, model in named_models(profile):
        try:
            found = list(problems_of(choose(kind, path, model, profile, access)))
        except ModelProblem as problem:
            found = [str(problem)]
        for line in found:
            key, _, text = line.partition(": ")
            yield key, text


def import_plugins(agents: AgentsFile, access: ModelAccess) -> None:
    """Import all that the profiles name, on the main thread. Raises ModelProblem."""
    for profile in agents.profiles.values():
        for kind, path, model in named_models(profile):
            import_plugin(choose(kind, path, model, profile, access))


def models_for(profile: Profile, access: ModelAccess) -> Models:
    """The models of one call. Raises ModelProblem for what `model_problems` finds.

    All attempts together take ATTEMPTS_SHARE of `failure.after` at most, so that the agent does not
    count as failed before the last of them. One model alone is tried twice.
    """
    made: dict[str, list[Any]] = {}
    for kind, path, model in named_models(profile):
        made.setdefault(kind, []).append(make(choose(kind, path, model, profile, access)))
    detector = inference.VAD(model="silero", min_silence_duration=profile.turn_handling.min_silence)
    if "realtime" in made:
        return Models(
            made["realtime"][0],
            detector,
            SessionConnectOptions(max_unrecoverable_errors=MAX_ERRORS),
        )
    limits = {kind: _limit(profile, len(models)) for kind, models in made.items()}
    return Models(
        llm=_one_llm(made["llm"], limits["llm"]),
        vad=detector,
        conn_options=SessionConnectOptions(
            stt_conn_options=_conn_options(made["stt"], limits["stt"]),
            llm_conn_options=_conn_options(made["llm"], limits["llm"]),
            tts_conn_options=_conn_options(made["tts"], limits["tts"]),
            max_unrecoverable_errors=MAX_ERRORS,
        ),
        stt=_one_stt(made["stt"], limits["stt"], detector),
        tts=_one_tts(made["tts"], limits["tts"]),
    )


def _limit(profile: Profile, models: int) -> float:
    """Of each attempt, in s."""
    return profile.failure.after * ATTEMPTS_SHARE / max(2, models)


def _conn_options(models: Sequence[object], limit: float) -> APIConnectOptions:
    """A FallbackAdapter tries the next model instead of the same one again."""
    return APIConnectOptions(max_retry=1 if len(models) == 1 else 0, timeout=limit)


def _one_llm(models: list[LLM], limit: float) -> LLM:
    if len(models) == 1:
        return models[0]
    return llm.FallbackAdapter(models, attempt_timeout=limit, max_retry_per_llm=0)


def _one_stt(models: list[STT], limit: float, detector: vad.VAD) -> STT:
    prompt = [
        model if model.capabilities.streaming else PromptSTT(model, limit) for model in models
    ]
    if len(prompt) == 1:
        return prompt[0]
    adapter = stt.FallbackAdapter(prompt, vad=detector, attempt_timeout=limit, max_retry_per_stt=0)
    if any(model.capabilities.streaming for model in models):
        return adapter
    # As a stream the adapter would lose the utterance that a model has failed to recognize; given
    # whole utterances it gives the same one to the next model.
    return stt.StreamAdapter(stt=adapter, vad=detector)


def _one_tts(models: list[TTS], limit: float) -> TTS:
    prompt = [
        model if model.capabilities.streaming else PromptTTS(model, limit) for model in models
    ]
    return prompt[0] if len(prompt) == 1 else tts.FallbackAdapter(prompt, max_retry_per_tts=0)
