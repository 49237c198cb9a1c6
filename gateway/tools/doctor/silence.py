"""Calls in which the agent was silent: by its report, or because there is none. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway.calls.call import EventKind
from gateway.tools.doctor.causes import Cause
from gateway.tools.doctor.check import Status

#: A worker that reports to the gateway sends a report at the end of each call.
_LOST_REPORT = {EventKind.AGENT_READY, EventKind.REPORT_MISSED}


def with_silence(cause: Cause, call: Mapping[str, Any]) -> Cause:
    """`cause`, at least a warning if the agent's process stood still, or its report is missing.

    `call` is the response of `GET /livekit-api/calls/{call_id}`.
    """
    if stood_still := _longest_stall(call.get("report")):
        text = f"the agent's process stood still for {stood_still:.1f} s: the caller heard nothing"
        step = "see the worker's machine: CPU, memory (swap), and what may have stopped the process"
    elif {entry["event"] for entry in call["timeline"]} >= _LOST_REPORT:
        text = "the agent sent no report: its process was stopped, was killed or is blocked"
        step = "look for the call's id in the worker's log"
    else:
        return cause
    status = Status.WARN if cause.status is Status.OK else cause.status
    steps = "\n".join(filter(None, [cause.next, step]))
    return Cause(status, f"{cause.text}; {text}", steps)


def _longest_stall(report: Any) -> float:
    """In s, by `stalls` of the report (agent/record.py); 0 if there is none in this form."""
    stalls = report.get("stalls") if isinstance(report, Mapping) else None
    durations = [
        stall["duration_ms"] / 1000
        for stall in (stalls if isinstance(stalls, list) else [])
        if isinstance(stall, dict) and isinstance(stall.get("duration_ms"), int)
    ]
    return max(durations, default=0.0)
