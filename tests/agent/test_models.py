"""Models are made as configured, mistakes are told at the start, a silent model fails in time."""

import sys
import time
from typing import Any

import pytest
from livekit.agents import APIError, llm, stt, tts

from agent.profiles.model_access import ModelAccess
from agent.profiles.profile import Failure, Plugin, Profile
from agent.voice.models import Models, model_problems, models_for
from tests.fakes import plugin as fake_plugin

ACCESS = ModelAccess(openai=True)
FAILURE = Failure(after=2)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "livekit.plugins.fake", fake_plugin)
    monkeypatch.setenv("OPENAI_API_KEY", "not-needed")


def fake(**arguments: Any) -> Plugin:
    return Plugin.model_validate({"plugin": "fake", **arguments})


def fakes(**parts: Any) -> Profile:
    """A profile of fake models; `parts` replaces some."""
    models = {"stt": fake(), "llm": fake(model="m"), "tts": fake(), **parts}
    return Profile.model_validate({"failure": FAILURE, **models})


def problems(profile: Profile, access: ModelAccess = ACCESS) -> list[str]:
    return [f"{key}: {text}" for key, text in model_problems(profile, access)]


async def understood(models: Models) -> str:
    assert models.stt
    options = models.conn_options.stt_conn_options
    event = await models.stt.recognize([fake_plugin.audio()], conn_options=options)
    return event.alternatives[0].text


async def answered(models: Models) -> str:
    assert isinstance(models.llm, llm.LLM)
    chat = llm.ChatContext.empty()
    options = models.conn_options.llm_conn_options
    async with models.llm.chat(chat_ctx=chat, conn_options=options) as stream:
        return "".join([chunk.delta.content or "" async for chunk in stream if chunk.delta])


async def spoken(models: Models) -> float:
    """How many s of audio."""
    assert models.tts
    options = models.conn_options.tts_conn_options
    async with models.tts.synthesize("yes", conn_options=options) as stream:
        return sum([audio.frame.duration async for audio in stream])


PARTS = [("stt", understood), ("llm", answered), ("tts", spoken)]


def part(kind: str, *behaviours: str) -> Profile:
    common = {"model": "m"} if kind == "llm" else {}
    models = [fake(does=does, **common) for does in behaviours]
    return fakes(**{kind: models[0] if len(models) == 1 else models})


def test_the_default_profile_needs_nothing_but_a_key() -> None:
    assert problems(Profile()) == []
    models = models_for(Profile(voice="ash", language="de"), ACCESS)
    assert [m.model for m in (models.stt, models.llm, models.tts) if m] == [
        "gpt-4o-mini-transcribe",
        "gpt-4.1-mini",
        "gpt-4o-mini-tts",
    ]


def test_language_and_voice_go_where_the_plugin_takes_them() -> None:
    models: Any = models_for(fakes(language="de", voice="ana"), ACCESS)
    assert (models.stt.wrapped.language, models.tts.wrapped.voice_id) == ("de", "ana")
    models = models_for(fakes(stt=fake(language="fr"), language="de"), ACCESS)
    assert models.stt.wrapped.language == "fr"
    models = models_for(fakes(stt=fake(language=None), language="de"), ACCESS)
    assert models.stt.wrapped.language == ""


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"stt": fake(langauge="de")}, "stt.langauge: fake's stt has no such argument; did you "
         "mean language?"),
        ({"llm": [fake(model="m"), fake()]}, "llm[1].model: fake's llm needs this argument"),
        ({"stt": fake(api_key="hush")}, "stt: plugin fake: FAKE_API_KEY is not set, and [secret] "
         "is none"),
        ({"stt": Plugin(plugin="deepgram")}, 'stt: plugin deepgram is not installed: pip install '
         '"livekit-agents[deepgram]==1.8.9"'),
        ({"stt": Plugin(plugin="depgram")}, "stt: there is no plugin depgram; did you mean "
         "deepgram?"),
        ({"realtime": fake()}, "realtime: plugin fake has no realtime"),
        ({"tts": "cartesia/sonic-3"}, "tts: LiveKit Inference needs LiveKit Cloud"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_path(parts: dict[str, Any], problem: str) -> None:
    (line,) = problems(fakes(**parts))
    assert line.startswith(problem)


def test_a_voice_that_no_argument_takes_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_plugin, "TTS", fake_plugin.STT)
    (line,) = problems(fakes(voice="ana"))
    assert line.startswith("voice: fake's tts has no argument of that name")


@pytest.mark.parametrize(("kind", "use"), PARTS)
async def test_a_model_that_answers_is_heard(kind: str, use: Any) -> None:
    assert await use(models_for(part(kind, "answers"), ACCESS))


@pytest.mark.parametrize(
    ("kind", "use", "failing"),
    [
        *((kind, use, "fails") for kind, use in PARTS),
        # An LLM's plugin itself limits the time of a request.
        *((kind, use, "hangs") for kind, use in PARTS if kind != "llm"),
    ],
)
async def test_the_next_model_answers_in_the_same_turn(kind: str, use: Any, failing: str) -> None:
    models = models_for(part(kind, failing, "answers"), ACCESS)
    began = time.monotonic()
    assert await use(models)
    assert time.monotonic() - began < 10  # instead of 60 s


@pytest.mark.parametrize(("kind", "use"), [PARTS[0], PARTS[2]])
async def test_a_model_that_never_answers_fails(kind: str, use: Any) -> None:
    began = time.monotonic()
    with pytest.raises(APIError):
        await use(models_for(part(kind, "hangs"), ACCESS))
    assert time.monotonic() - began < 10


async def test_one_model_is_tried_twice() -> None:
    models: Any = models_for(part("stt", "fails"), ACCESS)
    with pytest.raises(APIError):
        await understood(models)
    assert models.stt.wrapped.utterances == 2


def test_time_limits_leave_time_for_a_second_model() -> None:
    options = models_for(part("llm", "fails"), ACCESS).conn_options.llm_conn_options
    assert (options.timeout, options.max_retry) == (0.8, 1)
    options = models_for(part("llm", "fails", "fails"), ACCESS).conn_options.llm_conn_options
    assert options.max_retry == 0


def test_models_are_of_the_types_that_a_session_takes() -> None:
    models = models_for(part("stt", "fails", "answers"), ACCESS)
    assert isinstance(models.stt, stt.STT)
    assert models.stt.capabilities.streaming
    assert isinstance(models.tts, tts.TTS)
