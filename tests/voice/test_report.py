"""What is known after a call: how it went, its recording, its analysis."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest

from gateway.config.settings import LOOPBACK
from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.telephone import EAR_RATE, LIMIT
from gateway.tools.simulate.tones import chord_of, listen
from tests.livekit.conftest import RealServers
from tests.prometheus import Numbers
from tests.voice.conftest import (
    ASKS_DAY,
    GREETING,
    RECEPTIONIST,
    RECORDED,
    Dial,
    EndedCall,
    words,
)

LATENCY = "lk_agents_turn_e2e_latency_seconds"
ANNOUNCEMENT = "For your safety this telephone call is now recorded."
ANALYSIS = {
    "call_summary": "The user wants an appointment.",
    "call_successful": False,
    "user_sentiment": "Neutral",
    "in_voicemail": False,
    "custom_analysis_data": {"day": "unknown"},
}


#: Waits until the turn of the test's call is among the worker's numbers.
Counted = Callable[[], Awaitable[None]]


@pytest.fixture
async def counted(real: RealServers, http: aiohttp.ClientSession) -> Counted:
    url = f"http://{LOOPBACK}:{real.env['AGENT_HTTP_PORT']}/metrics"

    async def numbers() -> tuple[Numbers, float]:
        async with http.get(url) as response:
            numbers = Numbers(await response.text())
        turns = (it for it in numbers.samples if it.name == f"{LATENCY}_count")
        return numbers, sum(it.value for it in turns)

    _, before = await numbers()

    async def wait() -> None:
        # They come with the end of the call's process, which is after the report.
        async with asyncio.timeout(LIMIT):
            while (now := await numbers())[1] <= before:
                await asyncio.sleep(0.1)
        labels = {label for it in now[0].samples for label in it.labels}
        assert "model_name" in labels
        assert not {"job_id", "room_id"} & labels
        assert now[0]("worker_available") == 1

    return wait


async def test_a_recorded_call_is_reported_and_analyzed(
    dial: Dial, models: ModelServer, ended_call: EndedCall, recordings: Path, counted: Counted
) -> None:
    rule = Rule("I would like", call="save_analysis", arguments=ANALYSIS)
    models.script = Script([rule, *RECEPTIONIST.rules])
    async with dial(RECORDED) as telephone:
        await telephone.hears_out(ANNOUNCEMENT)
        await telephone.hears_out(GREETING)
        await telephone.says("book")
        await telephone.hears_out(ASKS_DAY)
    call = await ended_call(telephone)
    report = call["report"]
    assert words(call) == [
        ("agent", ANNOUNCEMENT),
        ("agent", GREETING),
        ("user", "i would like to book an appointment"),
        ("agent", ASKS_DAY),
    ]
    assert call["call_analysis"] == ANALYSIS
    assert (report["pipeline"], report["profile"]) == ("voice", "recorded")
    assert report["errors"] == report["unanswered"] == report["mute"] == []
    (turn,) = report["turns"]
    assert {"latency_ms", "end_of_turn_ms", "transcription_ms", "llm_ms", "tts_ms"} < turn.keys()
    assert 0 < turn["llm_ms"] < turn["latency_ms"] <= report["longest_silence_ms"] + 1000
    assert {"llm_usage", "stt_usage", "tts_usage"} <= {it["type"] for it in report["usage"]}
    await counted()
    _is_whole(report["recording"], recordings / f"{telephone.call_id}.ogg")
    conversation = call["conversation"]
    assert conversation["turns"]["max_ms"] == turn["latency_ms"]
    assert conversation["first_audio_ms"] == report["first_audio_ms"] is not None
    assert all(it["received"] > 0 for it in conversation["packets"].values()), conversation


def _is_whole(recording: dict[str, Any], file: Path) -> None:
    """Both voices, each on its side, and nothing of the announcement."""
    assert recording["file"] == str(file)
    assert recording["bytes"] == file.stat().st_size
    caller, agent = _channels(file)
    assert [heard.chord for heard in listen(agent, EAR_RATE)] == [
        chord_of(GREETING),
        chord_of(ASKS_DAY),
    ]
    assert np.abs(caller).max() > 1000
    assert recording["duration_ms"] == pytest.approx(len(agent) * 1000 / EAR_RATE, abs=200)


def _channels(file: Path) -> tuple[Any, Any]:
    """The caller's and the agent's samples, at EAR_RATE."""
    resampler = av.AudioResampler(format="s16p", layout="stereo", rate=EAR_RATE)
    with av.open(str(file)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    left, right = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return left, right
