"""The record of a conversation: keys are masked, and a long one fits into a report."""

import json

import pytest

from agent.record import TEXT_LIMIT, TRANSCRIPT_BYTES, TRANSCRIPT_LIMIT, Record, without_middle


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("[key 5]", "[key]"),
        ("[keys 1 2 3 4]", "[keys]"),
        ("I pressed [key #] now", "I pressed [key] now"),
        ("my key 5", "my key 5"),
    ],
)
def test_pressed_keys_are_masked(text: str, masked: str) -> None:
    record = Record()
    record.said("user", text)
    assert record.transcript[0]["text"] == masked


def test_an_agent_that_repeats_the_keys_is_masked_too() -> None:
    record = Record()
    for key in "4711":
        record.said("user", f"[key {key}]")
    record.said("agent", "Your PIN is 4 7 1 1, and we open at 10:30 on 24 May.")
    assert record.transcript[-1]["text"] == "Your PIN is [keys], and we open at 10:30 on 24 May."


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [('{"pin":"4711"}', False), ('{"pin":4711}', False), ('{"day":"24"}', True), ("{}", True)],
)
def test_arguments_are_left_out_if_they_hold_pressed_keys(arguments: str, shown: bool) -> None:
    record = Record()
    record.said("user", "[keys 4 7 1 1]")
    record.used_tool("verify", arguments, at=5, duration_ms=120, ok=True)
    entry = record.transcript[-1]
    assert entry.pop("arguments", None) == (arguments if shown else None)
    assert entry == {"at": 5, "role": "tool", "name": "verify", "duration_ms": 120, "ok": True}


def test_a_report_is_in_the_order_in_which_things_were_said() -> None:
    record = Record()
    record.said("agent", "b", at=2, interrupted=True)
    record.said("user", "a", at=1)
    assert record.report()["transcript"] == [
        {"at": 1, "role": "user", "text": "a"},
        {"at": 2, "role": "agent", "text": "b", "interrupted": True},
    ]
    assert "transcript_dropped" not in record.report()


def test_a_long_transcript_loses_its_middle_and_says_so() -> None:
    record = Record()
    for number in range(TRANSCRIPT_LIMIT + 10):
        record.said("user", str(number), at=number + 1)
    report = record.report()
    transcript = report["transcript"]
    assert isinstance(transcript, list)
    texts = [entry["text"] for entry in transcript]
    assert (texts[0], texts[-1]) == ("0", str(TRANSCRIPT_LIMIT + 9))
    assert len(texts) == TRANSCRIPT_LIMIT
    assert report["transcript_dropped"] == 10


def test_a_report_is_bounded_in_bytes_whatever_is_said() -> None:
    record = Record()
    for number in range(TRANSCRIPT_LIMIT):
        record.said("agent", "ä" * 2 * TEXT_LIMIT, at=number + 1)
    record.errors.extend("e" * 10_000 for _ in range(1000))
    report = record.report()
    assert len(json.dumps(report["transcript"])) <= TRANSCRIPT_BYTES
    assert len(json.dumps(report)) < 1_048_576
    assert report["transcript_dropped"] != 0


def test_both_ends_of_what_is_too_long_are_kept() -> None:
    entries: list[dict[str, object]] = [{"n": number} for number in range(10)]
    kept = without_middle(entries, 45)
    assert [entry["n"] for entry in kept] == [0, 1, 8, 9]
    assert without_middle(entries, 10_000) == entries
    assert without_middle([], 10) == []


def test_the_first_audio_is_timed_from_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("agent.record.time.monotonic", lambda: now)
    record = Record()
    assert record.report()["first_audio_ms"] is None
    record.caller_answered()
    now += 0.4
    record.agent_speaks()
    now += 3
    record.caller_answered()
    record.agent_speaks()
    assert record.report()["first_audio_ms"] == 400


def test_an_agent_that_speaks_before_the_answer_keeps_nobody_waiting() -> None:
    record = Record()
    record.agent_speaks()
    assert record.first_audio_ms is None
    record.caller_answered()
    assert record.first_audio_ms == 0
