"""The pipeline `voice`, as the worker sees it."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent.profiles.model_access import ModelAccess
from agent.settings import WorkerSettings
from agent.voice import pipeline as module
from agent.voice.pipeline import VoicePipeline
from agent.voice.tools import available
from tests.agent.test_load import SETTINGS


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerSettings:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.delenv("_AGENTS_FILE_PUBLISHED", raising=False)
    path = tmp_path / "agents.yaml"
    return replace(SETTINGS, pipeline="voice", agents_file=path, models=ModelAccess(openai=True))


def written(settings: WorkerSettings, text: str) -> VoicePipeline:
    assert settings.agents_file
    settings.agents_file.write_text(text)
    # A job's process may have parsed another text within the file system's resolution of time.
    os.utime(settings.agents_file)
    return VoicePipeline(settings)


@pytest.mark.parametrize(
    ("profiles", "has_model"),
    [
        ("{default: {}}", True),
        ("{default: {turn_handling: {detection: vad}}}", False),
        ("{default: {turn_handling: {detection: vad}}, other: {}}", True),
        ("{default: {turn_handling: {detection: stt}}}", False),
        ("{default: {realtime: {plugin: openai, model: gpt-realtime}}}", False),
    ],
)
def test_the_turn_model_is_loaded_if_a_profile_uses_it(
    profiles: str, has_model: bool, settings: WorkerSettings
) -> None:
    assert written(settings, f"profiles: {profiles}").has_turn_model() is has_model


async def test_what_is_unavailable_is_told_once_and_as_long_as_it_lasts(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [["MCP server n8n: no answer"], ["MCP server n8n: no answer"], []]
    looked = asyncio.Semaphore(0)

    async def server_problems(_: object) -> list[str]:
        looked.release()
        return answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(available, "server_problems", server_problems)
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.01)
    voice = written(settings, "profiles: {clinic: {extends: default}, default: {}}")
    assert voice.facts() == {"pipeline": "voice", "profiles": ["clinic", "default"], "problems": []}
    watching = asyncio.create_task(voice.watch())
    async with asyncio.timeout(10):
        await looked.acquire()
        await looked.acquire()
        assert voice.facts()["problems"] == ["MCP server n8n: no answer"]
        while voice.facts()["problems"]:
            await asyncio.sleep(0.01)
    watching.cancel()
    assert caplog.text.count("agents_file.unavailable") == 1
