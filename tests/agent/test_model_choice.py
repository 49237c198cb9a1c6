"""Which models a profile names, and which keys they need."""

import pytest

from agent.profiles.model_access import ModelAccess, model_access
from agent.profiles.model_choice import Choice, ModelProblem, choose, named_models
from agent.profiles.profile import Plugin, Profile

OPENAI, CLOUD = ModelAccess(openai=True), ModelAccess(inference=True)


def choices(profile: Profile, access: ModelAccess = OPENAI) -> list[Choice]:
    return [
        choose(kind, path, model, profile, access) for kind, path, model in named_models(profile)
    ]


@pytest.mark.parametrize(
    ("env", "url", "access"),
    [
        ({}, "ws://192.0.2.10:7880", ModelAccess()),
        ({"OPENAI_API_KEY": "key"}, "ws://192.0.2.10:7880", OPENAI),
        ({}, "wss://project.livekit.cloud", CLOUD),
        ({}, "wss://livekit.cloud.example.com", ModelAccess()),
        ({"LIVEKIT_INFERENCE_API_KEY": "key"}, "ws://192.0.2.10:7880", ModelAccess()),
        (
            {"LIVEKIT_INFERENCE_API_KEY": "key", "LIVEKIT_INFERENCE_API_SECRET": "secret"},
            "ws://192.0.2.10:7880",
            CLOUD,
        ),
        ({"LIVEKIT_INFERENCE_URL": "https://example.com"}, "ws://192.0.2.10:7880", CLOUD),
    ],
)
def test_keys_are_found_in_the_environment(
    env: dict[str, str], url: str, access: ModelAccess
) -> None:
    assert model_access(env, url) == access


@pytest.mark.parametrize(
    ("models", "access", "plugin"),
    [
        ("auto", OPENAI, "openai"),
        ("auto", ModelAccess(openai=True, inference=True), "openai"),
        ("auto", CLOUD, "inference"),
        ("openai", ModelAccess(openai=True, inference=True), "openai"),
        ("inference", ModelAccess(openai=True, inference=True), "inference"),
    ],
)
def test_auto_is_the_provider_that_there_is_a_key_for(
    models: str, access: ModelAccess, plugin: str
) -> None:
    found = choices(Profile.model_validate({"models": models}), access)
    assert [choice.kind for choice in found] == ["stt", "llm", "tts"]
    assert {choice.plugin for choice in found} == {plugin}
    assert all(choice.arguments["model"] for choice in found)


@pytest.mark.parametrize(
    ("profile", "access", "texts"),
    [
        ({}, ModelAccess(), ["models: auto ", "OPENAI_API_KEY", "LIVEKIT_INFERENCE_API_KEY"]),
        ({"models": "openai"}, CLOUD, ["models: openai needs OPENAI_API_KEY"]),
        ({"models": "inference"}, OPENAI, ["models: inference needs LiveKit Cloud"]),
        ({"llm": "openai/gpt-4.1"}, OPENAI, ["llm: LiveKit Inference needs LiveKit Cloud"]),
        ({"llm": ["auto", "openai/gpt-4.1"]}, OPENAI, ["llm[1]: LiveKit Inference needs"]),
        ({"tts": {"plugin": "inference", "model": "a/b"}}, OPENAI, ["tts: LiveKit Inference"]),
        ({"stt": "deepgram"}, CLOUD, ["stt: 'deepgram' must be auto, provider/model"]),
        ({"realtime": "auto"}, ModelAccess(), ["models: auto needs"]),
    ],
)
def test_a_model_without_a_key_says_what_it_needs(
    profile: dict[str, object], access: ModelAccess, texts: list[str]
) -> None:
    with pytest.raises(ModelProblem) as caught:
        choices(Profile.model_validate(profile), access)
    assert str(caught.value).startswith(texts[0])
    assert all(text in str(caught.value) for text in texts)


def test_a_text_is_a_model_of_inference() -> None:
    profile = Profile(stt="deepgram/nova-3:de", tts="cartesia/sonic-3", language="fr", voice="ana")
    stt, llm, tts = choices(profile, CLOUD)
    assert (stt.plugin, stt.arguments, stt.language) == (
        "inference",
        {"model": "deepgram/nova-3:de"},
        "",
    )
    assert (tts.language, tts.voice) == ("fr", "ana")
    assert (llm.language, llm.voice) == ("", "")


def test_a_mapping_is_a_plugins_model() -> None:
    profile = Profile(llm=Plugin.model_validate({"plugin": "groq", "model": "m", "top_p": 0.5}))
    assert choices(profile)[1] == Choice("llm", "llm", "groq", {"model": "m", "top_p": 0.5})


def test_the_voice_is_the_first_tts() -> None:
    """Another provider's model does not know it."""
    found = choices(Profile(tts=["auto", Plugin(plugin="cartesia")], voice="ash"))
    assert [choice.voice for choice in found if choice.kind == "tts"] == ["ash", ""]


def test_a_speech_to_speech_model_replaces_the_others() -> None:
    (found,) = choices(Profile(realtime=Plugin(plugin="openai"), voice="marin"))
    assert (found.kind, found.plugin, found.voice) == ("realtime", "openai", "marin")
