"""The record of a conversation, for the reports at its end. Pure, but for the clock."""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

#: Entries of a transcript at most, of its JSON bytes, and characters of one text: a report has to
#: fit `limits.max_body_bytes` (1 MiB).
TRANSCRIPT_LIMIT = 2_000
TRANSCRIPT_BYTES = 500_000
TEXT_LIMIT = 4_000
#: Errors in a report at most, and characters of each.
MAX_ERRORS = 50
ERROR_LIMIT = 500
#: Silences in a report at most.
MAX_SILENCES = 100

Pipeline = Literal["diagnostic", "voice"]
Role = Literal["agent", "user", "tool"]
Entry = dict[str, object]

#: How keys that the caller pressed stand in a conversation: `[key 5]`, `[keys 1 2 3]`.
_KEYS = re.compile(r"\[(keys?) ([^\]]*)\]")
_DIGITS = re.compile(r"[\d*#](?:[ ,.-]{0,2}[\d*#])*")
#: So many keys in a row, said again, are taken for those that were pressed.
_RECOGNIZED = 3


@dataclass
class Record:
    """`transcript` entries are `{"at": ms since epoch, "role", "text"}`, of tools see `used_tool`.

    The keys that the caller pressed are masked in it: they may be a PIN.

    `usage` is the models', as livekit-agents has it. `stalls` are the times in which the agent's
    process stood still, `mute` those in which it should have spoken and did not, though it ran:
    `{"at", "duration_ms"}`. `packets`: see agent/packets.py. `look`: since when it should be
    speaking (time.monotonic()), None if it need not; what the pipeline knows.
    """

    pipeline: Pipeline = "diagnostic"
    transcript: list[Entry] = field(default_factory=list)
    usage: list[Entry] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stalls: list[dict[str, int]] = field(default_factory=list)
    mute: list[dict[str, int]] = field(default_factory=list)
    longest_silence_ms: int = 0
    packets: dict[str, dict[str, int] | None] = field(default_factory=dict)
    look: Callable[[], float | None] = lambda: None
    is_over: bool = False
    _dropped: int = 0
    _pressed: str = ""
    _answered: float | None = None
    _first_audio: float | None = None
    _started: float = field(default_factory=time.monotonic)

    @property
    def mute_since(self) -> float | None:
        return self.look()

    def close(self) -> None:
        """The conversation is over: the caller does not wait for the agent any more."""
        self.is_over = True
        self.look()

    def caller_answered(self) -> None:
        """From now on the caller waits for the agent's first word."""
        if self._answered is None:
            self._answered = time.monotonic()

    def agent_speaks(self) -> None:
        """Audio of the agent goes out: a word of its own, not ringing or a noise."""
        if self._first_audio is None:
            self._first_audio = time.monotonic()

    @property
    def first_audio_ms(self) -> int | None:
        """From the answer to the agent's first audio; None if there was none."""
        if self._answered is None or self._first_audio is None:
            return None
        return max(0, round((self._first_audio - self._answered) * 1000))

    def said(
        self, role: Role, text: str, *, at: int | None = None, interrupted: bool = False
    ) -> None:
        """`at` in ms since epoch; without it, now."""
        for _, keys in _KEYS.findall(text):
            self._pressed += "".join(re.findall(r"[\w*#]", keys))
        masked = _KEYS.sub(r"[\1]", text)
        if role == "agent":
            masked = _DIGITS.sub(self._mask_pressed, masked)
        entry: Entry = {"at": at or _now(), "role": role, "text": _cut(masked, TEXT_LIMIT)}
        self._add({**entry, "interrupted": True} if interrupted else entry)

    def used_tool(self, name: str, arguments: str, *, at: int, duration_ms: int, ok: bool) -> None:
        """`arguments` as JSON; left out where they hold keys that the caller pressed."""
        entry: Entry = {"at": at, "role": "tool", "name": name, "duration_ms": duration_ms}
        if not self.holds_keys(arguments):
            entry["arguments"] = _cut(arguments, TEXT_LIMIT)
        self._add({**entry, "ok": ok})

    def holds_keys(self, text: str) -> bool:
        """Whether `text` has some of the keys that the caller pressed."""
        return any(self._are_pressed(digits) for digits in _DIGITS.findall(text))

    def add_silence(self, silences: list[dict[str, int]], duration_ms: int) -> None:
        """Note in `stalls` or `mute` a silence that ends now."""
        if len(silences) < MAX_SILENCES:
            silences.append({"at": _now() - duration_ms, "duration_ms": duration_ms})

    def report(self) -> dict[str, object]:
        """As JSON; `duration_ms` counts from the agent's start, ringing included.

        `transcript_dropped`: how many entries are left out of a long transcript's middle.
        """
        in_order = sorted(self.transcript, key=lambda entry: int(str(entry["at"])))
        transcript = without_middle(in_order, TRANSCRIPT_BYTES)
        dropped = self._dropped + len(in_order) - len(transcript)
        return {
            "pipeline": self.pipeline,
            "transcript": transcript,
            **({"transcript_dropped": dropped} if dropped else {}),
            "usage": self.usage,
            "duration_ms": round((time.monotonic() - self._started) * 1000),
            "errors": [_cut(error, ERROR_LIMIT) for error in self.errors[:MAX_ERRORS]],
            "stalls": self.stalls,
            "mute": self.mute,
            "longest_silence_ms": self.longest_silence_ms,
            "first_audio_ms": self.first_audio_ms,
            "packets": self.packets,
        }

    def _add(self, entry: Entry) -> None:
        if len(self.transcript) >= TRANSCRIPT_LIMIT:
            del self.transcript[TRANSCRIPT_LIMIT // 2]
            self._dropped += 1
        self.transcript.append(entry)

    def _mask_pressed(self, match: re.Match[str]) -> str:
        is_long = len(re.findall(r"[\d*#]", match[0])) >= _RECOGNIZED
        return "[keys]" if is_long and self._are_pressed(match[0]) else match[0]

    def _are_pressed(self, digits: str) -> bool:
        keys = re.sub(r"[^\d*#]", "", digits)
        if len(keys) < _RECOGNIZED:
            return keys in self._pressed
        parts = (keys[at : at + _RECOGNIZED] for at in range(len(keys) - _RECOGNIZED + 1))
        return any(part in self._pressed for part in parts)


def without_middle(entries: Sequence[Entry], limit: int) -> list[Entry]:
    """The first and the last of `entries` whose JSON has `limit` bytes at most."""
    sizes = [len(json.dumps(entry)) + 2 for entry in entries]
    begin, end, size = 0, len(entries), 0
    while begin < end:
        # The larger index is the later half's: both halves grow alike.
        index = begin if begin <= len(entries) - end else end - 1
        size += sizes[index]
        if size > limit:
            break
        begin, end = (begin + 1, end) if index == begin else (begin, end - 1)
    return [*entries[:begin], *entries[end:]]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} […]"


def _now() -> int:
    return time.time_ns() // 1_000_000
