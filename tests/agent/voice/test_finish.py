"""The final report of a call: transcript, tools, analysis; whatever fails, there is one."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from livekit.agents import APIStatusError, ToolError, function_tool

from agent.profiles.profile import Analysis, Profile
from agent.voice import finish as finish_module
from agent.voice.finish import finish
from agent.voice.voice_call import VoiceCall
from tests.fakes.llm import ScriptedLLM, Use

Talk = Callable[..., Any]

SCHEMA = {
    "type": "object",
    "properties": {"appointment": {"type": "string"}},
    "required": ["appointment"],
}
ANALYZED = Profile(analysis=Analysis(enabled=True, custom_analysis_data=SCHEMA))
ANALYSIS = {
    "call_summary": "The user booked an appointment.",
    "call_successful": True,
    "user_sentiment": "Positive",
    "in_voicemail": False,
    "custom_analysis_data": {"appointment": "Monday"},
}

DEEP: dict[str, object] = {"appointment": "Monday"}
for _ in range(30):
    DEEP = {**DEEP, "more": DEEP}


async def report_of(voice: VoiceCall) -> dict[str, Any]:
    return dict(await finish(voice))


@function_tool
async def book(day: str) -> str:
    """Books an appointment."""
    if day == "Sunday":
        raise ToolError("closed")
    return "booked"


async def test_a_report_has_what_was_said_and_done_and_no_instructions(talk: Talk) -> None:
    model = ScriptedLLM(Use("book", {"day": "Monday"}), "It is booked.")
    async with talk(model, tools=[book]) as voice:
        await voice.session.run(user_input="Monday, please.")
    report = await report_of(voice)
    assert [
        (entry["role"], entry.get("text") or entry["name"]) for entry in report["transcript"]
    ] == [("user", "Monday, please."), ("tool", "book"), ("agent", "It is booked.")]
    tool = report["transcript"][1]
    assert (tool["ok"], tool["arguments"]) == (True, '{"day": "Monday"}')
    assert report["pipeline"] == "voice"
    assert report["profile"] == "default"
    assert "Be brief." not in json.dumps(report)
    assert not {"recording", "call_analysis"} & report.keys()


async def test_a_tool_that_failed_is_not_ok(talk: Talk) -> None:
    model = ScriptedLLM(Use("book", {"day": "Sunday"}), "We are closed.")
    async with talk(model, tools=[book]) as voice:
        await voice.session.run(user_input="Sunday!")
    assert [entry["ok"] for entry in voice.record.transcript if entry["role"] == "tool"] == [False]


@pytest.mark.parametrize(
    "answer",
    [
        Use("save_analysis", ANALYSIS),
        json.dumps(ANALYSIS),
        f"Here it is:\n```json\n{json.dumps(ANALYSIS)}\n```",
        json.dumps({**ANALYSIS, "more": 1}),
    ],
    ids=["a function call", "JSON", "JSON in Markdown", "with more than was asked"],
)
async def test_the_analysis_is_in_the_report(talk: Talk, answer: Any) -> None:
    model = ScriptedLLM("Hello.", answer)
    async with talk(model, ANALYZED) as voice:
        await voice.session.run(user_input="[keys 4 7 1 1] I am Ann.")
    report = await report_of(voice)
    assert report["call_analysis"] == ANALYSIS
    asked = str(model.requests[-1].to_dict())
    assert "user: [keys] I am Ann." in asked
    assert "4 7 1 1" not in asked
    assert "Be brief." not in asked


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("I would say it went well.", "AnalysisInvalid: the answer is not JSON"),
        (
            Use("save_analysis", {**ANALYSIS, "user_sentiment": "fine"}),
            "AnalysisInvalid: $.user_sentiment does not fit its JSON schema",
        ),
        (
            Use("save_analysis", {**ANALYSIS, "custom_analysis_data": {}}),
            "AnalysisInvalid: $.custom_analysis_data does not fit its JSON schema",
        ),
        ('NaN {"call_summary": NaN}', "AnalysisInvalid: NaN is no JSON number"),
        (
            Use("save_analysis", {**ANALYSIS, "custom_analysis_data": DEEP}),
            "AnalysisInvalid: the answer is too long or too deep",
        ),
        (APIStatusError("no quota", status_code=429, retryable=False), "no quota"),
        (RuntimeError("broken"), "broken"),
    ],
    ids=["prose", "a wrong value", "the profile's schema", "NaN", "deep", "no quota", "anything"],
)
async def test_an_analysis_that_fails_costs_no_report(talk: Talk, answer: Any, error: str) -> None:
    model = ScriptedLLM("Hello.", answer)
    async with talk(model, ANALYZED) as voice:
        await voice.session.run(user_input="I am Ann.")
    report = await report_of(voice)
    assert report["call_analysis"] is None
    assert error in report["analysis_error"]
    assert len(report["transcript"]) == 2


async def test_a_slow_analysis_does_not_hold_the_report(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish_module, "REPORT_TIMEOUT", 0.05)
    model = ScriptedLLM("Hello.", "{}")
    async with talk(model, ANALYZED) as voice:
        await voice.session.run(user_input="I am Ann.")
    model.delay = 60
    report = await report_of(voice)
    assert report["call_analysis"] is None
    assert len(report["transcript"]) == 2


async def test_a_call_in_which_nobody_spoke_is_not_analyzed(talk: Talk) -> None:
    model = ScriptedLLM()
    async with talk(model, ANALYZED) as voice:
        pass
    assert "call_analysis" not in await report_of(voice)
    assert model.requests == []
