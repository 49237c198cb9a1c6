"""Calls in which the agent was silent: as the gateway knows, or because no report came. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway.calls.call import EventKind
from gateway.explanation.causes import Cause
from gateway.explanation.status import Status

#: A worker that reports to the gateway sends a report at the end of each call.
_LOST_REPORT = {EventKind.AGENT_READY, EventKind.REPORT_MISSED}
#: From so many s of silence on the conversation has failed, however the call ended.
_FAILED_FROM = 5.0


def with_silence(cause: Cause, call: Mapping[str, Any]) -> Cause:
    """`cause`, but worse if the agent was mute, or if its report is missing.

    `call` is the response of `GET /livekit-api/calls/{call_id}`.
    """
    if longest := _longest(call.get("agent_silences")):
        text = f"the agent was mute for {longest:.1f} s: the caller heard nothing"
        step = (
            "see the worker's log for the call's id: a model that did not answer; if the process "
            "stood still, the machine: CPU, memory (swap), and what may have stopped it"
        )
        status = Status.FAIL if longest >= _FAILED_FROM else _at_least_warn(cause.status)
    elif {entry["event"] for entry in call["timeline"]} >= _LOST_REPORT:
        text = "the agent sent no report: its process was stopped, was killed or is blocked"
        step = "look for the call's id in the worker's log"
        status = _at_least_warn(cause.status)
    else:
        return cause
    steps = "\n".join(filter(None, [cause.next, step]))
    return Cause(status, f"{cause.text}; {text}", steps)


def _at_least_warn(status: Status) -> Status:
    return Status.WARN if status is Status.OK else status


def _longest(silences: Any) -> float:
    """In s; 0 without any, as from a gateway that does not tell them."""
    return max((it["duration_ms"] / 1000 for it in silences or ()), default=0.0)
