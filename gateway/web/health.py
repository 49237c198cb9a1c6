"""The health of each part that a call needs, in a word and a sentence. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.calls.reasons import DisconnectionReason
from gateway.explanation.status import Status
from gateway.history.writer import HistoryState, HistoryStatus
from gateway.livekit.trunks import Kind, SipItem
from gateway.monitor.readiness import PartState

#: The share of `callbacks.max_pending` from which on receivers do not keep up.
MANY_PENDING = 0.1


@dataclass(frozen=True, slots=True)
class Part:
    """`status` is skip where nothing is known, or nothing is configured."""

    name: str
    status: Status
    text: str


def of_state(name: str, state: PartState, text: str) -> Part:
    """A part that is asked whether it answers; `text` is shown while it does."""
    if state.is_ok:
        return Part(name, Status.OK, text)
    return Part(name, Status.FAIL, f"{state.condition}: {state.detail}")


def of_trunks(items: Sequence[SipItem]) -> Part:
    """What leads calls to LiveKit and away from it."""
    counts = [sum(item.kind is kind for item in items) for kind in Kind]
    inbound, outbound, rules = counts
    text = f"{inbound} inbound, {outbound} outbound, {_number(rules, 'dispatch rule')}"
    if inbound and rules:
        return Part("SIP trunks", Status.OK, text)
    return Part("SIP trunks", Status.WARN, f"{text}: python -m gateway setup")


def of_recent_calls(calls: Sequence[Mapping[str, Any]]) -> Part:
    """Whether agents come to the newest calls, newest first: LiveKit lists no workers."""
    for call in calls:
        if call["disconnection_reason"] == DisconnectionReason.NO_AGENT:
            text = "no agent came to the newest call: does a worker run?"
            return Part("Worker", Status.FAIL, text)
        if call["disconnection_reason"] == DisconnectionReason.AGENT_ERROR:
            return Part("Worker", Status.WARN, "the newest call's agent failed")
        if call["answer_timestamp"] is not None:
            return Part("Worker", Status.OK, "the newest calls had their agent")
    return Part("Worker", Status.SKIP, "no call has needed an agent yet")


def of_pending(pending: int, most: int) -> Part:
    """Callbacks that receivers have not accepted yet; `most` is how many may wait."""
    if pending >= most * MANY_PENDING:
        return Part("Callbacks", Status.WARN, f"{pending} wait: receivers do not keep up")
    return Part("Callbacks", Status.OK, f"{pending} wait" if pending else "none waits")


def of_history(status: HistoryStatus, kept_for: float) -> Part:
    """Where ended calls are kept; without a history for `kept_for` s."""
    if status.state is HistoryState.OFF:
        return Part("History", Status.SKIP, f"off: ended calls are kept for {kept_for:g} s")
    waiting = "every ended call is saved"
    if status.waiting:
        waiting = f"{_number(status.waiting, 'call')} to be saved"
    if status.state is HistoryState.UNAVAILABLE:
        return Part("History", Status.FAIL, f"{status.problem}; {waiting}")
    if status.lost:
        return Part("History", Status.WARN, f"{_number(status.lost, 'call')} could not be saved")
    return Part("History", Status.OK, waiting)


def _number(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
