"""How the page writes durations, times and names; its templates' filters. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.calls.call import TERMINAL_STATUSES, CallStatus
from gateway.calls.conversation import ConversationProblem
from gateway.calls.reasons import DisconnectionReason

#: How bad a call's end is that went as nobody wanted; any other is good.
_TONES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            DisconnectionReason.NO_AGENT,
            DisconnectionReason.AGENT_ERROR,
            DisconnectionReason.CONNECTION_LOST,
            DisconnectionReason.DIAL_FAILED,
            DisconnectionReason.CONCURRENCY_LIMIT_REACHED,
            DisconnectionReason.REGISTERED_CALL_TIMEOUT,
            DisconnectionReason.SIP_ROUTING_ERROR,
            DisconnectionReason.TELEPHONY_PROVIDER_PERMISSION_DENIED,
            DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE,
        ),
        "bad",
    ),
    ConversationProblem.NO_CONVERSATION: "bad",
    ConversationProblem.SILENT_AGENT: "bad",
}
#: Control characters, and those that write what follows in another direction (UAX #9).
_MISLEADING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
#: Names that are no plain words.
_NAMES: Mapping[str, str] = {
    "user_hangup": "Caller hung up",
    "agent_hangup": "Agent hung up",
    "dial_busy": "Busy",
    "dial_no_answer": "No answer",
    "user_declined": "Declined",
    "manual_stopped": "Stopped by hand",
    "call_transfer": "Transferred",
    "no_agent": "No agent came",
    "agent_error": "Agent failed",
    "registered_call_timeout": "Never answered",
    "max_duration_reached": "Longest duration reached",
    "concurrency_limit_reached": "Too many calls",
    "silent_agent": "Agent was silent",
    "silent_caller": "Caller was silent",
    "slow_first_word": "Late first word",
    "not_connected": "Not connected",
}


def unmisleading(value: Any) -> Any:
    """A text without what could have it show something else than it says; anything else as it is.

    Browsers isolate texts from each other (`<bdi>`), but not the parts of one.
    """
    is_text = type(value) is str  # not Markup, which a template has made
    return _MISLEADING.sub("\N{REPLACEMENT CHARACTER}", value) if is_text else value


def words(name: object) -> str:
    """An API name, such as `slow_turns`, as people write it."""
    return _NAMES.get(str(name), str(name).replace("_", " ").capitalize())


def sentence(text: str) -> str:
    """`text` as a sentence begins."""
    return text[:1].upper() + text[1:]


def duration(ms: float | None) -> str:
    """`7 s`, `3:05`, `1:02:03`; "" for None."""
    if ms is None:
        return ""
    seconds = round(ms / 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minute:02}:{second:02}"
    return f"{minute}:{second:02}" if minutes else f"{second} s"


def short_time(ms: float | None) -> str:
    """A latency: `420 ms`, `1.3 s`, `8.0 s`; "–" for None."""
    if ms is None:
        return "–"
    return f"{round(ms)} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def iso(at: float) -> str:
    """ms since epoch as the `datetime` of a `<time>`; scripts show it in the reader's zone."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")


def clock_time(at: float) -> str:
    """The same for people without scripts."""
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def is_live(call: Mapping[str, Any]) -> bool:
    return call["call_status"] not in TERMINAL_STATUSES


def problems(call: Mapping[str, Any]) -> list[str]:
    """What was wrong with the conversation, the worst first."""
    return list((call.get("conversation") or {}).get("problems", ()))


def tone(call: Mapping[str, Any]) -> str:
    """How the call looks at a glance: `live`, `good`, `warn` or `bad`."""
    names = [str(call["disconnection_reason"]), *problems(call)]
    if any(_TONES.get(name) == "bad" for name in names) or call["call_status"] == CallStatus.ERROR:
        return "bad"
    if is_live(call):
        return "live"
    is_odd = call["call_status"] == CallStatus.NOT_CONNECTED or problems(call)
    return "warn" if is_odd else "good"


FILTERS = {
    "words": words,
    "sentence": sentence,
    "duration": duration,
    "short_time": short_time,
    "iso": iso,
    "clock_time": clock_time,
    "is_live": is_live,
    "problems": problems,
    "tone": tone,
}
