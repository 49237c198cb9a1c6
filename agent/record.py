"""The record of a conversation, for the report at its end."""

import time
from dataclasses import dataclass, field
from typing import Literal

#: Entries of a transcript at most: the report has to fit `limits.max_body_bytes`.
TRANSCRIPT_LIMIT = 2_000


@dataclass
class Record:
    """`transcript` entries are `{"at": ms since epoch, "role", "text"}`; `usage` is the models'.

    `stalls` are the times in which the agent's process stood still: `{"at", "duration_ms"}`.
    """

    transcript: list[dict[str, object]] = field(default_factory=list)
    usage: dict[str, object] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    stalls: list[dict[str, int]] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    def said(self, role: Literal["agent", "user"], text: str) -> None:
        if len(self.transcript) < TRANSCRIPT_LIMIT:
            at = time.time_ns() // 1_000_000
            self.transcript.append({"at": at, "role": role, "text": text})

    def report(self) -> dict[str, object]:
        """As JSON; `duration_ms` counts from the agent's start, ringing included."""
        return {
            "transcript": self.transcript,
            "usage": self.usage,
            "duration_ms": round((time.monotonic() - self._started) * 1000),
            "errors": self.errors,
            "stalls": self.stalls,
        }
