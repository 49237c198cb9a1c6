"""Which models a profile's `stt`, `llm`, `tts` and `realtime` name. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.profiles.model_access import ModelAccess
from agent.profiles.profile import Model, Profile

Kind = Literal["stt", "llm", "tts", "realtime"]

#: The name under which LiveKit Inference stands among the plugins.
INFERENCE = "inference"
#: What "auto" is, by plugin: fast models that need no tuning for telephone calls.
AUTO: Mapping[str, Mapping[Kind, str]] = {
    "openai": {
        "stt": "gpt-4o-mini-transcribe",
        "llm": "gpt-4.1-mini",
        "tts": "gpt-4o-mini-tts",
        "realtime": "gpt-realtime",
    },
    INFERENCE: {
        "stt": "deepgram/nova-3",
        "llm": "openai/gpt-4.1-mini",
        "tts": "cartesia/sonic-3",
        "realtime": "openai/gpt-realtime",
    },
}
_INFERENCE_NEEDS = (
    "LiveKit Cloud (LIVEKIT_URL=wss://….livekit.cloud), or LIVEKIT_INFERENCE_API_KEY and "
    "LIVEKIT_INFERENCE_API_SECRET"
)
_OPENAI_NEEDS = "OPENAI_API_KEY (any text for a server of your own at OPENAI_BASE_URL)"


class ModelProblem(Exception):
    """A model cannot be used; the text begins with its path in the profile."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model: the class of `kind` in `plugin`, made with `arguments`.

    `language` and `voice` are the profile's; they hold where the class takes such an argument. A
    `language` among the arguments takes precedence, a `voice` among them does not.
    """

    kind: Kind
    path: str
    plugin: str
    arguments: Mapping[str, Any]
    language: str = ""
    voice: str = ""


def named_models(profile: Profile) -> Iterator[tuple[Kind, str, Model]]:
    """All models of a profile, with their paths in it."""
    if profile.realtime is not None:
        yield "realtime", "realtime", profile.realtime
        return
    kinds: tuple[Kind, ...] = ("stt", "llm", "tts")
    for kind in kinds:
        models = getattr(profile, kind)
        if isinstance(models, list):
            yield from ((kind, f"{kind}[{index}]", model) for index, model in enumerate(models))
        else:
            yield kind, kind, models


def choose(kind: Kind, path: str, model: Model, profile: Profile, access: ModelAccess) -> Choice:
    """Raises ModelProblem: there are no keys for it, or its name is not one."""
    language = profile.language if kind in ("stt", "tts") else ""
    # Another provider's model does not know this one's voices.
    is_first = not path.endswith("]") or path.endswith("[0]")
    voice = profile.voice if is_first and kind in ("tts", "realtime") else ""
    if model == "auto":
        plugin = _auto_plugin(profile, access)
        return Choice(kind, path, plugin, {"model": AUTO[plugin][kind]}, language, voice)
    if isinstance(model, str):
        if "/" not in model:
            raise ModelProblem(
                f"{path}: {model!r} must be auto, provider/model (of LiveKit Inference), or "
                f"{{plugin: …, model: …}}"
            )
        # "deepgram/nova-3:de" names its language itself.
        language = "" if kind == "stt" and ":" in model else language
        choice = Choice(kind, path, INFERENCE, {"model": model}, language, voice)
    else:
        choice = Choice(kind, path, model.plugin, model.model_extra or {}, language, voice)
    if choice.plugin == INFERENCE and not access.inference:
        raise ModelProblem(f"{path}: LiveKit Inference needs {_INFERENCE_NEEDS}")
    return choice


def _auto_plugin(profile: Profile, access: ModelAccess) -> str:
    """Raises ModelProblem."""
    wanted = profile.models
    if wanted == "auto":
        if not access.openai and not access.inference:
            raise ModelProblem(
                f"models: auto needs {_OPENAI_NEEDS}, or LiveKit Inference: {_INFERENCE_NEEDS}"
            )
        return "openai" if access.openai else INFERENCE
    if not getattr(access, wanted):
        needs = _OPENAI_NEEDS if wanted == "openai" else _INFERENCE_NEEDS
        raise ModelProblem(f"models: {wanted} needs {needs}")
    return wanted
