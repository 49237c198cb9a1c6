"""Why a call is as it is: the most likely cause and the next step, from what is known. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from gateway.calls.call import TERMINAL_STATUSES
from gateway.tools.doctor.check import Status
from gateway.tools.doctor.sip_causes import OTHER, TO_CARRIER, TO_LIVEKIT
from gateway.transfers.fallback import NO_TARGET_LEFT

#: A call that waits for longer than this for what takes a second is told as waiting, in s.
PATIENCE = 5.0

#: What a leg that rang for too long ends with (RFC 3261 §21.4).
_RANG_OUT = frozenset({408, 480, 487})

_DOCTOR = "python -m gateway doctor"
_WORKER_LOG = 'look for "job received" and for errors in the worker\'s log'


@dataclass(frozen=True, slots=True)
class Cause:
    """`ok` is a call that went as calls go, `warn` one the far side ended, `fail` our side's."""

    status: Status
    text: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What tells calls apart. `events` have their last detail each.

    `lasted` is from the call's beginning to its end or to now, in s; `was_dialed`, whether Jambonz
    tried a leg towards LiveKit.
    """

    is_inbound: bool
    call_status: str
    reason: str
    sip_status: int | None
    sip: str
    agent_name: str
    lasted: float
    events: Mapping[str, str]
    was_dialed: bool
    transfer: Mapping[str, Any] | None

    @classmethod
    def of(cls, call: Mapping[str, Any], now: int) -> Self:
        sip = call.get("sip")
        end = call["end_timestamp"] or now
        return cls(
            is_inbound=call["direction"] == "inbound",
            call_status=call["call_status"],
            reason=call["disconnection_reason"] or "",
            sip_status=sip["status"] if sip else None,
            sip=f"{sip['status']} {sip['reason']}".strip() if sip else "",
            agent_name=call["agent_name"],
            lasted=max(0.0, (end - call["start_timestamp"]) / 1000),
            events={entry["event"]: entry.get("detail") or "" for entry in call["timeline"]},
            was_dialed=any(_is_of_far_leg(entry) for entry in call["timeline"]),
            transfer=call.get("transfer"),
        )

    @property
    def direction(self) -> str:
        return "inbound" if self.is_inbound else "outbound"

    @property
    def is_active(self) -> bool:
        return self.call_status not in TERMINAL_STATUSES

    @property
    def had_agent(self) -> bool:
        return bool(self.events.keys() & {"agent_joined", "agent_ready", "dispatched"})

    @property
    def had_leg(self) -> bool:
        return "caller_joined" in self.events


def _is_of_far_leg(entry: Mapping[str, Any]) -> bool:
    """Whether Jambonz told of its leg towards LiveKit."""
    return str(entry.get("detail") or "").startswith("B leg")


def cause_of(facts: Facts) -> Cause:
    if facts.is_active:
        cause = _active(facts)
    elif "livekit_failed" in facts.events:
        cause = _livekit_failed(facts)
    else:
        cause = _BY_REASON.get(facts.reason, _no_reason)(facts)
    return _with(cause, _transferred(facts), _fallen_back(facts))


def _with(cause: Cause, *more: str) -> Cause:
    text = "; ".join([cause.text, *(part for part in more if part)])
    return Cause(cause.status, text, cause.next)


def _transferred(facts: Facts) -> str:
    transfer = facts.transfer
    if not transfer or facts.reason == "call_transfer":
        return ""
    if transfer["ended_at"] is None:
        return f"it is being handed on to {transfer['target']}"
    sip = transfer["sip"]
    outcome = f"{sip['status']} {sip['reason']}".strip() if sip else "nobody knows how"
    return f"it was to be handed on to {transfer['target']}, that ended with {outcome}"


def _fallen_back(facts: Facts) -> str:
    target = facts.events.get("fallback")
    if target is None:
        return ""
    if target.startswith(NO_TARGET_LEFT):
        return "the caller was refused, for inbound.fallback has no target (left)"
    return f"the caller was handed to the fallback: {target}"


def _active(facts: Facts) -> Cause:
    if facts.call_status == "ongoing":
        return Cause(Status.OK, "the two are talking")
    waits = facts.lasted > PATIENCE
    status = Status.WARN if waits else Status.OK
    if not facts.had_agent:
        text = f"no agent yet: no worker has taken the job for {facts.agent_name!r}"
        return Cause(status, text, f"{_DOCTOR}: see worker" if waits else "")
    if facts.is_inbound and not facts.had_leg:
        text = "the agent is there, the caller's leg is not: LiveKit does not lead it to the room"
        return Cause(status, text, f"{_DOCTOR}: see inbound route" if waits else "")
    if facts.is_inbound:
        text = "both are in the room: LiveKit answers once the agent sends audio"
        return Cause(status, text, _WORKER_LOG if waits else "")
    return Cause(Status.OK, "the callee's telephone rings")


def _livekit_failed(facts: Facts) -> Cause:
    told = facts.events["livekit_failed"]
    if "trunk" in told:
        return Cause(Status.FAIL, f"no outbound trunk: {told}", f"{_DOCTOR}: see outbound trunk")
    return Cause(
        Status.FAIL,
        f"LiveKit did not do its part: {told}",
        f"{_DOCTOR}: see LiveKit, LiveKit key and clock",
    )


def _no_agent(facts: Facts) -> Cause:
    return Cause(
        Status.FAIL,
        f"no worker took the job for {facts.agent_name!r}: none runs under this name, or it is too "
        "busy",
        f"{_DOCTOR}: see worker; start one: python -m agent",
    )


def _never_answered(facts: Facts) -> Cause:
    """Nobody answered in time: how far did it get?"""
    if facts.had_leg and not facts.had_agent:
        return _no_agent(facts)
    if facts.had_leg:
        return Cause(
            Status.FAIL,
            "caller and agent were in the room, but the agent sent no audio: LiveKit rings until "
            "it does",
            _WORKER_LOG,
        )
    if "enqueued" in facts.events:
        return Cause(
            Status.FAIL,
            "the caller was parked, LiveKit's call to Jambonz never came",
            f"{_DOCTOR}: see inbound route and outbound trunk",
        )
    if facts.was_dialed:
        return Cause(
            Status.FAIL,
            "Jambonz dialed, but the call never came into the room: no inbound trunk or dispatch "
            "rule leads it there",
            f"{_DOCTOR}: see inbound route; python -m gateway setup",
        )
    return Cause(
        Status.FAIL,
        "nothing was heard of a dial: the caller hung up at once, Jambonz could not send the "
        "INVITE, or it does not tell us (call_status_hook)",
        f"{_DOCTOR}: see SIP host, inbound route and Jambonz hooks",
    )


def _hung_up(facts: Facts) -> Cause:
    if facts.call_status == "ended":
        return Cause(Status.OK, "the far end hung up after a conversation")
    waited = f"hung up after {facts.lasted:.0f} s, before anybody answered"
    if not facts.is_inbound or facts.lasted <= PATIENCE:
        return Cause(
            Status.WARN, f"the caller {waited}" if facts.is_inbound else f"it was {waited}"
        )
    missing = _never_answered(facts)
    return Cause(Status.FAIL, f"the caller {waited}; {missing.text}", missing.next)


def _dial_failed(facts: Facts) -> Cause:
    if facts.is_inbound and facts.sip_status in _RANG_OUT and "ringing" in facts.events:
        return _never_answered(facts)
    by_status = TO_LIVEKIT if facts.is_inbound else TO_CARRIER
    status, text, step = by_status.get(facts.sip_status or 0, OTHER)
    if facts.is_inbound and facts.sip_status == 486 and facts.had_leg:
        text = "the room was closed while it rang"
        step = _WORKER_LOG
    return Cause(status, text, step)


def _agent_error(facts: Facts) -> Cause:
    told = facts.events.get("agent_failed", "")
    gone = "the agent's process died, or lost LiveKit" if "agent_gone" in facts.events else ""
    text = f"the agent failed: {told}" if told else gone or "the agent left and did not come back"
    return Cause(Status.FAIL, text, _WORKER_LOG)


def _always(status: Status, text: str, step: str = "") -> Callable[[Facts], Cause]:
    return lambda facts: Cause(status, text, step)


def _no_reason(facts: Facts) -> Cause:
    return Cause(Status.WARN, f"it ended with {facts.reason or 'no reason'}")


_BY_REASON: Mapping[str, Callable[[Facts], Cause]] = {
    "user_hangup": _hung_up,
    "agent_hangup": _always(Status.OK, "the agent ended the call"),
    "call_transfer": _always(Status.OK, "the call was handed on"),
    "max_duration_reached": _always(
        Status.WARN,
        "it lasted as long as a call may",
        "inbound.max_call_duration, outbound.max_call_duration or the request's own",
    ),
    "dial_busy": _dial_failed,
    "dial_failed": _dial_failed,
    "dial_no_answer": _dial_failed,
    "user_declined": _dial_failed,
    "invalid_destination": _dial_failed,
    "concurrency_limit_reached": _always(
        Status.FAIL,
        "as many calls were active as may be",
        "raise limits.max_active_calls, or see with GET /livekit-api/calls what they all are",
    ),
    "registered_call_timeout": _never_answered,
    "no_agent": _no_agent,
    "agent_error": _agent_error,
    "gateway_lost": _always(
        Status.WARN,
        "the gateway was killed while the call lived, and found nobody in its room afterwards",
        "stop it with SIGTERM, or share a Redis: storage.url",
    ),
    "manual_stopped": _always(Status.OK, "somebody asked for its end"),
}
