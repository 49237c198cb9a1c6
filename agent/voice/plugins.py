"""Models of livekit-agents' plugins: their classes, and objects of them.

A plugin has to be imported on the main thread, and before the worker runs.
"""

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import metadata
from types import ModuleType
from typing import Any

from livekit.agents.version import __version__

import agent.voice.tls  # noqa: F401 - before a model makes an HTTP client
from agent.profiles.model_choice import INFERENCE, Choice, Kind, ModelProblem

_CLASSES: Mapping[Kind, str] = {
    "stt": "STT",
    "llm": "LLM",
    "tts": "TTS",
    "realtime": "RealtimeModel",
}
#: What plugins call the voice.
_VOICE_ARGUMENTS = ("voice", "voice_id", "voice_name", "speaker")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
#: Which arguments an error may not quote.
_SECRET_ARGUMENT = re.compile(r"key|secret|token|password|credential|header", re.IGNORECASE)
#: Of an error's text, in characters.
_MAX_ERROR = 300


def import_plugin(choice: Choice) -> ModuleType:
    """Raises ModelProblem."""
    name, path = choice.plugin, choice.path
    if name == INFERENCE:
        return importlib.import_module("livekit.agents.inference")
    module = f"livekit.plugins.{name.replace('-', '_')}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, "livekit.plugins"):
            raise ModelProblem(f"{path}: plugin {name} needs the package {error.name}") from error
        raise ModelProblem(f"{path}: {_how_to_install(name)}") from error
    except Exception as error:
        raise ModelProblem(f"{path}: plugin {name} cannot be imported: {error}") from error


def problems_of(choice: Choice) -> Iterator[str]:
    """Why a model cannot be made as configured, a line each; imports its plugin."""
    try:
        parameters = _parameters(_model_class(choice))
    except ModelProblem as problem:
        yield str(problem)
        return
    mistakes = list(_argument_problems(choice, parameters))
    if mistakes:
        yield from mistakes
        return
    try:
        make(choice)
    except ModelProblem as problem:
        yield str(problem)


def make(choice: Choice) -> Any:
    """The model. Raises ModelProblem, whose text holds no secret."""
    model_class = _model_class(choice)
    arguments = _arguments(choice, _parameters(model_class))
    try:
        return model_class(**arguments)
    except Exception as error:
        text = _without_secrets(str(error).strip() or type(error).__name__, choice.arguments)
        raise ModelProblem(f"{choice.path}: plugin {choice.plugin}: {text}") from None


def _how_to_install(plugin: str) -> str:
    extras = metadata("livekit-agents").get_all("Provides-Extra") or []
    if plugin in extras:
        return (
            f"plugin {plugin} is not installed: "
            f'pip install "livekit-agents[{plugin}]=={__version__}"'
        )
    return f"there is no plugin {plugin}{_did_you_mean(plugin, extras)}"


def _did_you_mean(word: str, words: Iterable[str]) -> str:
    close = get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _model_class(choice: Choice) -> type:
    """Raises ModelProblem."""
    module = import_plugin(choice)
    name = _CLASSES[choice.kind]
    found = getattr(module, name, None)
    if found is None and choice.kind == "realtime":
        found = getattr(getattr(module, "realtime", None), name, None)
    if not isinstance(found, type):
        raise ModelProblem(f"{choice.path}: plugin {choice.plugin} has no {choice.kind}")
    return found


def _parameters(model_class: type) -> Mapping[str, inspect.Parameter]:
    # The class's own constructor: inspect.signature(class) prefers a metaclass's or __new__'s.
    parameters = dict(inspect.signature(model_class.__init__).parameters)  # type: ignore[misc]
    parameters.pop("self", None)
    return parameters


def _argument_problems(
    choice: Choice, parameters: Mapping[str, inspect.Parameter]
) -> Iterator[str]:
    names = [name for name, parameter in parameters.items() if parameter.kind not in _VARIADIC]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in choice.arguments:
        if name not in names and not takes_any:
            guess = _did_you_mean(name, names)
            yield (
                f"{choice.path}.{name}: {choice.plugin}'s {choice.kind} has no such argument{guess}"
            )
    given = _arguments(choice, parameters)
    for name in names:
        if parameters[name].default is inspect.Parameter.empty and name not in given:
            yield f"{choice.path}.{name}: {choice.plugin}'s {choice.kind} needs this argument"
    if choice.voice and not _voice_argument(parameters):
        yield (
            f"voice: {choice.plugin}'s {choice.kind} has no argument of that name; give it what it "
            f"takes, as {choice.path}: {{plugin: {choice.plugin}, …}}"
        )


def _arguments(choice: Choice, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """What the constructor gets. `null` leaves an argument out, the profile's language too."""
    takes_language = choice.language and "language" in parameters
    arguments = {"language": choice.language} if takes_language else {}
    arguments |= choice.arguments
    if choice.voice and (name := _voice_argument(parameters)):
        arguments[name] = choice.voice
    return {name: value for name, value in arguments.items() if value is not None}


def _voice_argument(parameters: Mapping[str, inspect.Parameter]) -> str | None:
    return next((name for name in _VOICE_ARGUMENTS if name in parameters), None)


def _without_secrets(text: str, arguments: Mapping[str, Any]) -> str:
    for name, value in arguments.items():
        if _SECRET_ARGUMENT.search(name):
            for secret in value.values() if isinstance(value, dict) else [value]:
                text = text.replace(str(secret), "[secret]") if str(secret) else text
    return " ".join(text.split())[:_MAX_ERROR]
