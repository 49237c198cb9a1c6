"""An agent that is not heard is seen from outside: by its job's signs of life."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent import monitor, stalls
from agent.heartbeat import Beat, Heartbeat, forget_beat, heartbeats, read_beat
from agent.record import Record
from agent.silences import MAX_SILENCES, MUTE, REPORTED_FROM, STOOD_STILL, JobSilences, Silence
from agent.stalls import Stalls
from tests.agent.test_shared_json import Gateway
from tests.agent.worker_settings import settings_for


def test_a_job_that_stands_still_is_told_while_it_does_and_when_it_is_over() -> None:
    silences = JobSilences()
    assert silences.look(Beat(100.0, None), 100.2) is None
    assert silences.look(Beat(100.0, None), 104.9) is None
    assert silences.look(Beat(100.0, None), 105.0) == Silence(100.0, 5.0, STOOD_STILL)
    assert silences.look(Beat(100.0, None), 107.0) is None
    assert silences.look(Beat(108.0, None), 108.1) == Silence(100.0, 8.0, STOOD_STILL)
    assert silences.look(Beat(108.3, None), 108.4) is None


def test_a_job_that_sends_no_audio_is_told_although_it_runs() -> None:
    silences = JobSilences()
    assert silences.look(Beat(104.0, 100.0), 104.1) is None
    assert silences.look(Beat(106.0, 100.0), 106.5) == Silence(100.0, 6.5, MUTE)
    assert silences.look(Beat(109.0, None), 109.0) == Silence(100.0, 9.0, MUTE)


def test_the_end_of_the_conversation_ends_a_silence() -> None:
    silences = JobSilences()
    silences.look(Beat(100.0, None), 106.0)
    assert silences.look(None, 107.0) == Silence(100.0, 7.0, STOOD_STILL)
    assert silences.look(None, 120.0) is None


def test_no_job_fills_the_timeline_with_its_silences() -> None:
    silences, told = JobSilences(), 0
    for start in range(0, 100 * (MAX_SILENCES + 5), 100):
        told += silences.look(Beat(start, None), start + REPORTED_FROM) is not None
        told += silences.look(Beat(start + 50, None), start + 50) is not None
    assert told == 2 * MAX_SILENCES


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the signs of life are."""
    with heartbeats():
        folder = Path(os.environ["_AGENT_HEARTBEATS"])
        yield folder
    assert not folder.exists()


def test_a_sign_of_life_is_read_as_it_was_given(folder: Path) -> None:
    assert read_beat("AJ_1") is None
    with Heartbeat("AJ_1") as heartbeat:
        for beat in (Beat(1.5, None), Beat(2.5, 2.25)):
            heartbeat.beat(beat)
            assert read_beat("AJ_1") == beat
        assert (folder / "AJ_1").stat().st_mode & 0o777 == 0o600
        (folder / "AJ_1").write_bytes(b"half")
        assert read_beat("AJ_1") is None
    assert os.listdir(folder) == []


def test_a_job_that_died_leaves_no_sign_of_life(folder: Path) -> None:
    Heartbeat("AJ_1").beat(Beat(1.0, None))
    forget_beat("AJ_1")
    assert os.listdir(folder) == []


def test_a_job_without_a_place_for_its_signs_of_life_runs() -> None:
    with Heartbeat("AJ_1") as heartbeat:
        heartbeat.beat(Beat(1.0, None))
    assert read_beat("AJ_1") is None
    forget_beat("AJ_1")


async def test_the_signs_of_life_last_as_long_as_the_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stalls, "INTERVAL", 0.01)
    record = Record()
    record.look = lambda: 7.0
    watching = asyncio.create_task(Stalls(record, Heartbeat("AJ_1")).watch())
    async with asyncio.timeout(10):
        while not (beat := read_beat("AJ_1")):
            await asyncio.sleep(0.01)
        assert beat.mute_since == 7.0
        while read_beat("AJ_1") == beat:
            await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait({watching})
    assert os.listdir(folder) == []


async def test_the_gateway_gets_a_silence_with_its_time(tmp_path: Path) -> None:
    gateway = Gateway(204)
    silence = Silence(0.0, 6.5, MUTE)
    async with gateway.serving() as url:
        metadata = json.dumps({"gateway": {"report_url": url}})
        job: Any = SimpleNamespace(
            id="AJ_1", metadata=metadata, room=SimpleNamespace(name="call-1")
        )
        await monitor._report_silence(cast(Any, job), silence, settings_for(tmp_path))
    (report,) = gateway.reports
    assert report.silence is not None
    assert report.silence.duration_ms == 6500
    assert report.detail == f"for 6.5 s: {MUTE}"
