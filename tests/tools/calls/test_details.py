"""A call as text: what is known of it, and nothing that is not."""

from dataclasses import replace
from typing import Any

from gateway.api.examples import BUSY, ENDED, START
from gateway.calls.call import Call
from gateway.calls.outcomes import SipOutcome, Transfer
from gateway.calls.views import details
from gateway.tools.calls.details import call_text
from gateway.tools.moments import local_time

NOW = local_time(START + 120_000)
DELIVERY = {
    "event": "call_ended",
    "url": "https://n8n.example.com/webhook/calls",
    "status": "failed",
    "last_status": 403,
    "last_error": "answered 403 Forbidden",
}


def shown(call: Call, width: int = 100, **more: Any) -> list[str]:
    content = {**details(call), "deliveries": [], **more}
    return call_text(content, NOW, width).splitlines()


def test_what_was_said_and_what_came_of_it() -> None:
    said = {"role": "user", "text": "Nine would do.\x1b[2J", "at": START + 12_500}
    report = {**(ENDED.report or {}), "transcript": [said]}
    lines = shown(replace(ENDED, report=report), deliveries=[DELIVERY])
    assert "summary       The caller asked for a new appointment, and got one." in lines
    assert "    12.5 s  user: Nine would do.�[2J" in lines
    assert any(line.endswith("failed: answered 403 Forbidden") for line in lines)
    assert "lasted        1:00" in lines


def test_a_call_that_was_not_answered() -> None:
    lines = shown(BUSY)
    assert "state         not_connected: dial_busy, SIP 486 Busy Here" in lines
    assert not [line for line in lines if line.startswith(("answered", "summary", "transcript"))]


def test_a_transfer() -> None:
    transfer = Transfer("+61491570157", START, ended_at=START + 9, sip=SipOutcome(486, "Busy Here"))
    lines = shown(replace(ENDED, transfer=transfer))
    assert "transfer      cold, to +61491570157: 486" in lines


def test_what_was_wrong_with_the_conversation() -> None:
    turns = {"count": 3, "p50_ms": 2_500, "max_ms": 4_000, "slow": 2}
    problems = ["silent_agent", "slow_turns"]
    conversation = {
        "verdict": "fail",
        "problems": problems,
        "longest_silence_ms": 8_000,
        "turns": turns,
    }
    lines = shown(ENDED, conversation=conversation)
    assert "conversation  fail: silent agent, slow turns" in lines
    lines = shown(ENDED, conversation={"verdict": None, "problems": []})
    assert not [line for line in lines if line.startswith("conversation")]


def test_no_line_is_wider_than_the_terminal() -> None:
    assert max(map(len, shown(ENDED, 60)[:-1])) <= 60
