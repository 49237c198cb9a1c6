"""Calls as lines of CSV, safe to open in a spreadsheet. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

#: Where a column's value is in `views.details()`.
COLUMNS: Mapping[str, Sequence[str]] = {
    "call_id": ("call_id",),
    "direction": ("direction",),
    "call_status": ("call_status",),
    "disconnection_reason": ("disconnection_reason",),
    "from_number": ("from_number",),
    "to_number": ("to_number",),
    "agent_name": ("agent_name",),
    "account_code": ("account_code",),
    "started_at": ("start_timestamp",),
    "answered_at": ("answer_timestamp",),
    "ended_at": ("end_timestamp",),
    "duration_ms": ("duration_ms",),
    "sip_status": ("sip", "status"),
    "sip_reason": ("sip", "reason"),
    "transfer_target": ("transfer", "target"),
    "verdict": ("conversation", "verdict"),
    "first_audio_ms": ("conversation", "first_audio_ms"),
    "longest_silence_ms": ("conversation", "longest_silence_ms"),
    "turn_p50_ms": ("conversation", "turns", "p50_ms"),
    "call_successful": ("call_analysis", "call_successful"),
    "user_sentiment": ("call_analysis", "user_sentiment"),
    "call_summary": ("call_analysis", "call_summary"),
}
#: A cell that begins so is a formula for spreadsheets (OWASP: CSV Injection), but for a number:
#: those of telephones begin with +.
_FORMULA = re.compile(r"\s*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9.]+")


def header() -> str:
    return _line(COLUMNS)


def line(call: Mapping[str, Any]) -> str:
    """The line of a call, as `views.details()` shows it; times in ISO 8601, UTC."""
    return _line(_cell(name, _value(call, path)) for name, path in COLUMNS.items())


def _value(content: Any, path: Sequence[str]) -> Any:
    """What is at `path`; None where there is nothing: an agent's analysis may be of any form."""
    for name in path:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name.endswith("_at") and isinstance(value, int):
        moment = datetime.fromtimestamp(value / 1000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = str(value)
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def _line(cells: Iterable[str]) -> str:
    output = io.StringIO()
    csv.writer(output).writerow(cells)
    return output.getvalue()
