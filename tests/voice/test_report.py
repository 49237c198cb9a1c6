"""What is known after a call: how it went, its recording, its analysis."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.telephone import EAR_RATE
from gateway.tools.simulate.tones import chord_of, listen
from tests.voice.conftest import (
    ASKS_DAY,
    GREETING,
    RECEPTIONIST,
    RECORDED,
    Dial,
    EndedCall,
    words,
)

ANNOUNCEMENT = "For your safety this telephone call is now recorded."
ANALYSIS = {
    "call_summary": "The user wants an appointment.",
    "call_successful": False,
    "user_sentiment": "Neutral",
    "in_voicemail": False,
    "custom_analysis_data": {"day": "unknown"},
}


async def test_a_recorded_call_is_reported_and_analyzed(
    dial: Dial, models: ModelServer, ended_call: EndedCall, recordings: Path
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
