"""A call as text: parties, times, timeline, what was said, callbacks. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.explanation.explain import explain
from gateway.tools.calls.rows import clock, state, when
from gateway.tools.terminal import wrapped

_LABEL = 14


def call_text(call: Mapping[str, Any], now: datetime, width: int) -> str:
    """`call` is the response of `GET /livekit-api/calls/{call_id}`; `now` is local."""
    start = call["start_timestamp"]
    lines = _labelled("call", f"{call['call_id']}, {call['direction']}", width)
    for label, text in _facts(call, now):
        lines += _labelled(label, text, width) if text else []
    timeline = explain(call, now=round(now.timestamp() * 1000)).timeline
    lines += _section("timeline", [(step.after, step.text) for step in timeline], width)
    said = (call["report"] or {}).get("transcript") or []
    spoken = [(_after(it, start), f"{it.get('role')}: {it.get('text')}") for it in said]
    lines += _section("transcript", spoken, width)
    for delivery in call["deliveries"]:
        lines += _labelled("callback", _delivery(delivery), width)
    return "\n".join([*lines, "", f"Why: python -m gateway doctor --call {call['call_id']}"])


def _facts(call: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    name = f", {call['caller_name']}" if call["caller_name"] else ""
    yield "from", f"{call['from_number'] or 'unknown'}{name}"
    yield "to", call["to_number"] or "unknown"
    account = f", account {call['account_code']}" if call["account_code"] else ""
    yield "agent", f"{call['agent_name']}{account}"
    yield "started", when(call["start_timestamp"], now)
    if call["answer_timestamp"]:
        waited = (call["answer_timestamp"] - call["start_timestamp"]) / 1000
        yield "answered", f"{waited:.1f} s later"
    yield "state", f"{call['call_status']}{_reason(call)}{_refusal(call['sip'])}"
    if call["duration_ms"] is not None:
        yield "lasted", clock(call["duration_ms"] / 1000)
    if transfer := call["transfer"]:
        result = transfer["reason"] or (transfer["sip"] or {}).get("status") or "under way"
        yield "transfer", f"{transfer['kind']}, to {transfer['target']}: {result}"
    if conversation := call["conversation"]:
        verdict = [conversation["verdict"], ", ".join(conversation["problems"])]
        yield "conversation", ": ".join(filter(None, verdict)).replace("_", " ")
    yield "summary", str((call["call_analysis"] or {}).get("call_summary") or "")


def _reason(call: Mapping[str, Any]) -> str:
    return f": {state(call)}" if call["disconnection_reason"] else ""


def _refusal(sip: Mapping[str, Any] | None) -> str:
    return f", SIP {sip['status']} {sip['reason']}".rstrip() if sip and sip["status"] >= 300 else ""


def _after(entry: Mapping[str, Any], start: int) -> float:
    """When something was said, in s since the call's start."""
    at = entry.get("at")
    return (at - start) / 1000 if isinstance(at, int) else 0.0


def _section(title: str, entries: Sequence[tuple[float, str]], width: int) -> list[str]:
    if not entries:
        return []
    texts = (wrapped(text, label=f"{after:8.1f} s  ", width=width) for after, text in entries)
    return [title, *(line for lines in texts for line in lines)]


def _delivery(delivery: Mapping[str, Any]) -> str:
    problem = delivery["last_error"] or delivery["last_status"] or "no attempt yet"
    is_delivered = delivery["status"] == "delivered"
    about = "" if is_delivered else f": {problem}"
    return f"{delivery['event']} to {delivery['url']} {delivery['status']}{about}"


def _labelled(label: str, text: str, width: int) -> list[str]:
    return wrapped(text, label=f"{label:<{_LABEL}}", width=width)
