"""What must be heard is, or it is known that it was not; a recording needs no model."""

import wave
from pathlib import Path

import pytest

from agent.profiles.checks import CLIPS as NAMES
from agent.voice.background import CLIPS
from agent.voice.failure import FAILURE, FAILURE_BEFORE_TRANSFER, WAIT
from agent.voice.speech import own_clip, play, read_clip, say
from gateway.tools.simulate.model_script import Fault
from gateway.tools.simulate.model_server import Service
from tests.agent.voice.on_the_line import on_the_line

pytestmark = pytest.mark.conversation

TEXT = "This is what has to be heard to its end."


def recording(path: Path, *, channels: int = 1, width: int = 2, seconds: float = 1.0) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(8_000)
        file.writeframes(bytes(round(8_000 * seconds) * channels * width))
    return path


def test_a_clip_of_any_rate(tmp_path: Path) -> None:
    clip = read_clip(recording(tmp_path / "own.wav", seconds=0.5))
    assert clip.duration == pytest.approx(0.5)
    assert {frame.sample_rate for frame in clip.frames} == {8_000}


@pytest.mark.parametrize("wrong", [{"channels": 2}, {"width": 1}, {"seconds": 0}, {"seconds": 61}])
def test_a_clip_that_cannot_be_played(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"^own\.wav must "):
        read_clip(recording(tmp_path / "own.wav", **wrong))


def test_a_file_that_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "own.wav"
    with pytest.raises(ValueError, match=r"own\.wav cannot be read"):
        read_clip(path)
    path.write_text("<html>")
    with pytest.raises(ValueError, match=r"own\.wav cannot be read"):
        read_clip(path)


@pytest.mark.parametrize("clip", [WAIT, FAILURE, FAILURE_BEFORE_TRANSFER])
def test_the_clips_of_the_package(clip: tuple[str, str]) -> None:
    assert 1 < own_clip(*clip).duration < 6


async def test_what_is_said_is_heard_after_what_is_being_said() -> None:
    async with on_the_line() as line:
        await line.hears()
        assert await say(line.voice, TEXT)
        assert line.transcript()[-1] == ("agent", TEXT)


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.UNAUTHORIZED, Fault.CUT])
async def test_without_a_voice_nothing_is_heard_but_a_clip(fault: Fault) -> None:
    async with on_the_line() as line:
        await line.hears_out()
        line.models.faults[Service.TTS] = fault
        assert not await say(line.voice, TEXT)
        assert await play(line.voice, own_clip(*WAIT))


async def test_a_clip_does_not_wait_for_a_model() -> None:
    async with on_the_line() as line:
        greeting = await line.hears_out()
        line.models.faults[Service.LLM] = Fault.HANG
        line.voice.session.generate_reply()
        assert await play(line.voice, own_clip(*WAIT))
        wait = await line.hears(greeting.end)
        assert wait.start - greeting.end < 1


async def test_a_closed_session_says_nothing() -> None:
    async with on_the_line() as line:
        await line.voice.session.aclose()
        assert not await say(line.voice, TEXT)
        assert not await play(line.voice, own_clip(*WAIT))


def test_the_sounds_that_a_profile_may_name() -> None:
    assert sorted(CLIPS) == sorted(NAMES)
