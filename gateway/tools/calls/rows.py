"""Calls as rows of a table: what is shown, how the id is shortened, which colour. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.calls.call import CallStatus
from gateway.tools.columns import Column, Row
from gateway.tools.moments import local_time
from gateway.tools.terminal import printable

#: How much of an id is enough to tell calls apart: the prefix and 8 digits.
SHORT_ID = 13

COLUMNS = (
    Column("started", 8, rank=1),
    Column("call", SHORT_ID),
    Column("", 3, rank=4),
    Column("from", 12),
    Column("to", 12, rank=2),
    Column("state", 9, is_coloured=True),
    Column("lasted", 6, rank=3),
    Column("agent", 10, rank=5),
)

GREEN, YELLOW, RED, GREY = "32", "33", "31", "90"
_COLOURS: Mapping[str, str] = {
    CallStatus.ONGOING: GREEN,
    CallStatus.REGISTERED: YELLOW,
    CallStatus.RINGING: YELLOW,
    CallStatus.NOT_CONNECTED: YELLOW,
    CallStatus.ERROR: RED,
    CallStatus.ENDED: GREY,
}


def call_row(call: Mapping[str, Any], now: datetime, *, is_short: bool) -> Row:
    """`now` is local; `is_short`: the id is cut to what tells calls apart."""
    call_id = str(call["call_id"])
    cells = (
        when(call["start_timestamp"], now),
        call_id[:SHORT_ID] if is_short else call_id,
        {"inbound": "in", "outbound": "out"}.get(call["direction"], call["direction"]),
        call["from_number"] or "unknown",
        call["to_number"] or "unknown",
        state(call),
        lasted(call, now),
        call["agent_name"],
    )
    return Row([printable(str(cell)) for cell in cells], colour_of(call))


def state(call: Mapping[str, Any]) -> str:
    """Why it ended; the status of a call that has not."""
    return str(call["disconnection_reason"] or call["call_status"])


def colour_of(call: Mapping[str, Any]) -> str:
    return _COLOURS.get(call["call_status"], "")


def when(at: int, now: datetime) -> str:
    """A local time, with its day unless that is today."""
    local = local_time(at)
    return f"{local:%H:%M:%S}" if local.date() == now.date() else f"{local:%m-%d %H:%M}"


def lasted(call: Mapping[str, Any], now: datetime) -> str:
    """How long the conversation took, or has taken so far; "" without one."""
    if call["duration_ms"] is not None:
        seconds = call["duration_ms"] / 1000
    elif call["answer_timestamp"]:
        seconds = now.timestamp() - call["answer_timestamp"] / 1000
    else:
        return ""
    return clock(seconds)


def clock(seconds: float) -> str:
    """`1:05`, `1:00:05`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
