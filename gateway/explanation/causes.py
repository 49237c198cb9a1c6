"""The most likely cause of a call's state, and the next step. Does no I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from gateway.calls.call import TERMINAL_STATUSES, CallStatus, Direction, EventKind
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.timeline import NO_TARGET_LEFT
from gateway.explanation.sip_causes import OTHER, TO_CARRIER, TO_LIVEKIT
from gateway.explanation.status import Status

#: How long the agent, the caller's leg or the first audio may take before that is a warning, in s.
PATIENCE = 5.0

#: The SIP statuses of a leg that rang for too long (RFC 3261 §21.4).
_RANG_TOO_LONG = frozenset({408, 480, 487})

#: The statuses that mean the same as a reason for which LiveKit gives no status.
_STATUS_OF_REASON: Mapping[str, int] = {
    DisconnectionReason.TELEPHONY_PROVIDER_PERMISSION_DENIED: 407,
    DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE: 503,
}

#: An agent was in the room if one of these happened.
_AGENT_EVENTS = frozenset({EventKind.AGENT_JOINED, EventKind.AGENT_AUDIBLE, EventKind.AGENT_READY})

_DOCTOR = "python -m gateway doctor"
_WORKER_LOG = 'look for "job received" and for errors in the worker\'s log'


@dataclass(frozen=True, slots=True)
class Cause:
    """`status` is ok for a normal call, warn if the far end ended it, fail if our side failed."""

    status: Status
    text: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about a call from which its cause follows.

    `is_inbound`: Jambonz brought the call. `lasted`: the time from the call's start to its end or
    to now, in s. `events`: each event of the timeline with its last detail. `was_dialed`: Jambonz
    reported a leg to LiveKit.
    """

    direction: str
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
            direction=call["direction"],
            is_inbound=call["direction"] == Direction.INBOUND or "call_sid" in call["jambonz"],
            call_status=call["call_status"],
            reason=call["disconnection_reason"] or "",
            sip_status=sip["status"] if sip else None,
            sip=f"{sip['status']} {sip['reason']}".strip() if sip else "",
            agent_name=call["agent_name"],
            lasted=max(0.0, (end - call["start_timestamp"]) / 1000),
            events={entry["event"]: entry.get("detail") or "" for entry in call["timeline"]},
            was_dialed=any(_is_of_b_leg(entry) for entry in call["timeline"]),
            transfer=call.get("transfer"),
        )

    @property
    def is_active(self) -> bool:
        return self.call_status not in TERMINAL_STATUSES

    @property
    def had_agent(self) -> bool:
        return bool(self.events.keys() & _AGENT_EVENTS)

    @property
    def had_leg(self) -> bool:
        return EventKind.CALLER_JOINED in self.events


def _is_of_b_leg(entry: Mapping[str, Any]) -> bool:
    """Whether the entry is a report of Jambonz about its leg to LiveKit."""
    return str(entry.get("detail") or "").startswith("B leg")


def cause_of(facts: Facts) -> Cause:
    cause = _active(facts) if facts.is_active else _by_reason(facts)
    return _with(cause, _transfer(facts), _fallback(facts))


def _by_reason(facts: Facts) -> Cause:
    try:
        explain = BY_REASON[DisconnectionReason(facts.reason)]
    except (KeyError, ValueError):  # none, or one that another version of the gateway added
        return Cause(Status.WARN, f"it ended with {facts.reason or 'no reason'}")
    return explain(facts)


def _with(cause: Cause, *additions: str) -> Cause:
    text = "; ".join([cause.text, *(addition for addition in additions if addition)])
    return Cause(cause.status, text, cause.next)


def _transfer(facts: Facts) -> str:
    transfer = facts.transfer
    if not transfer or facts.reason == DisconnectionReason.CALL_TRANSFER:
        return ""
    if transfer["ended_at"] is None:
        return f"a transfer to {transfer['target']} is under way"
    sip, reason = transfer["sip"], transfer.get("reason") or "an unknown result"
    outcome = f"{sip['status']} {sip['reason']}".strip() if sip else reason
    return f"the transfer to {transfer['target']} ended with {outcome}"


def _fallback(facts: Facts) -> str:
    target = facts.events.get(EventKind.FALLBACK)
    if target is None:
        return ""
    if target.startswith(NO_TARGET_LEFT):
        return "the caller was refused: inbound.fallback has no target left"
    return f"the caller was transferred to the fallback {target}"


def _active(facts: Facts) -> Cause:
    if facts.call_status == CallStatus.ONGOING:
        return Cause(Status.OK, "the conversation is under way")
    is_late = facts.lasted > PATIENCE
    status = Status.WARN if is_late else Status.OK
    if not facts.had_agent:
        text = f"no agent yet: no worker has taken the job for {facts.agent_name!r}"
        return Cause(status, text, f"{_DOCTOR}: see worker" if is_late else "")
    if facts.is_inbound and not facts.had_leg:
        text = "the agent is in the room, the caller is not: LiveKit does not route the leg there"
        return Cause(status, text, f"{_DOCTOR}: see inbound route" if is_late else "")
    if facts.is_inbound:
        text = "caller and agent are in the room: LiveKit answers once the agent sends audio"
        return Cause(status, text, _WORKER_LOG if is_late else "")
    return Cause(Status.OK, "the callee's telephone is ringing")


def _livekit_failed(facts: Facts) -> Cause:
    detail = facts.events[EventKind.LIVEKIT_FAILED]
    if "trunk" in detail:
        return Cause(Status.FAIL, f"no outbound trunk: {detail}", f"{_DOCTOR}: see outbound trunk")
    return Cause(
        Status.FAIL,
        f"a request to LiveKit failed: {detail}",
        f"{_DOCTOR}: see LiveKit, LiveKit key and clock",
    )


def _no_agent(facts: Facts) -> Cause:
    return Cause(
        Status.FAIL,
        f"no worker took the job for {facts.agent_name!r}: none has this name, or all are too busy",
        f"{_DOCTOR}: see worker; start one: python -m agent",
    )


def _never_answered(facts: Facts) -> Cause:
    """The cause of a call that was not answered in time: the first step that is missing."""
    if facts.had_leg and not facts.had_agent:
        return _no_agent(facts)
    if facts.had_leg:
        return Cause(
            Status.FAIL,
            "caller and agent were in the room, but the agent sent no audio: LiveKit rings until "
            "it does",
            _WORKER_LOG,
        )
    if EventKind.ENQUEUED in facts.events:
        return Cause(
            Status.FAIL,
            "the caller waited in the queue, but LiveKit's INVITE never came to Jambonz",
            f"{_DOCTOR}: see inbound route and outbound trunk",
        )
    if facts.was_dialed:
        return Cause(
            Status.FAIL,
            "Jambonz dialed, but the call never reached the room: no inbound trunk or dispatch "
            "rule routes it there",
            f"{_DOCTOR}: see inbound route; python -m gateway setup",
        )
    return Cause(
        Status.FAIL,
        "Jambonz reported no dial: the caller hung up at once, Jambonz could not send the INVITE, "
        "or call_status_hook is not set",
        f"{_DOCTOR}: see SIP host, inbound route and Jambonz hooks",
    )


def _hung_up(facts: Facts) -> Cause:
    if facts.call_status == CallStatus.ENDED:
        return Cause(Status.OK, "the far end hung up after a conversation")
    waited = f"hung up after {facts.lasted:.0f} s, unanswered"
    if not facts.is_inbound or facts.lasted <= PATIENCE:
        who = "the caller" if facts.is_inbound else "the call was"
        return Cause(Status.WARN, f"{who} {waited}")
    missing = _never_answered(facts)
    return Cause(Status.FAIL, f"the caller {waited}; {missing.text}", missing.next)


def _dial_failed(facts: Facts) -> Cause:
    if EventKind.LIVEKIT_FAILED in facts.events:
        return _livekit_failed(facts)
    if (
        facts.is_inbound
        and facts.sip_status in _RANG_TOO_LONG
        and EventKind.RINGING in facts.events
    ):
        return _never_answered(facts)
    by_status = TO_LIVEKIT if facts.is_inbound else TO_CARRIER
    status, text, step = by_status.get(_telling_status(facts), OTHER)
    if facts.is_inbound and facts.sip_status == 486 and facts.had_leg:
        text = "the room was closed while it rang"
        step = _WORKER_LOG
    return Cause(status, text, step)


def _telling_status(facts: Facts) -> int:
    """The SIP status; of a dial that the carrier did not decide, the one that its reason means."""
    if not facts.is_inbound and facts.sip_status in {None, 408, 487}:
        return _STATUS_OF_REASON.get(facts.reason, facts.sip_status or 0)
    return facts.sip_status or 0


def _agent_error(facts: Facts) -> Cause:
    if detail := facts.events.get(EventKind.AGENT_FAILED):
        text = f"the agent failed: {detail}"
    elif EventKind.AGENT_GONE in facts.events:
        text = "the agent's process ended, or lost its connection to LiveKit"
    else:
        text = "the agent left and did not come back"
    return Cause(Status.FAIL, text, _WORKER_LOG)


def _always(status: Status, text: str, step: str = "") -> Callable[[Facts], Cause]:
    return lambda facts: Cause(status, text, step)


BY_REASON: Mapping[DisconnectionReason, Callable[[Facts], Cause]] = {
    DisconnectionReason.USER_HANGUP: _hung_up,
    DisconnectionReason.AGENT_HANGUP: _always(Status.OK, "the agent ended the call"),
    DisconnectionReason.CALL_TRANSFER: _always(Status.OK, "the call was transferred"),
    DisconnectionReason.MAX_DURATION_REACHED: _always(
        Status.WARN,
        "the call reached its maximum duration",
        "see inbound.max_call_duration, outbound.max_call_duration, or the request's max_duration",
    ),
    DisconnectionReason.INACTIVITY: _always(
        Status.OK, "the caller said nothing for too long, and the agent hung up"
    ),
    DisconnectionReason.VOICEMAIL_REACHED: _always(Status.OK, "an answering machine took the call"),
    DisconnectionReason.DIAL_BUSY: _dial_failed,
    DisconnectionReason.DIAL_FAILED: _dial_failed,
    DisconnectionReason.DIAL_NO_ANSWER: _dial_failed,
    DisconnectionReason.USER_DECLINED: _dial_failed,
    DisconnectionReason.INVALID_DESTINATION: _dial_failed,
    DisconnectionReason.TELEPHONY_PROVIDER_PERMISSION_DENIED: _dial_failed,
    DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE: _dial_failed,
    DisconnectionReason.SIP_ROUTING_ERROR: _dial_failed,
    DisconnectionReason.MARKED_AS_SPAM: _dial_failed,
    DisconnectionReason.CONCURRENCY_LIMIT_REACHED: _always(
        Status.FAIL,
        "the limit of active calls was reached",
        "raise limits.max_active_calls, or list the active calls: GET /livekit-api/calls",
    ),
    DisconnectionReason.REGISTERED_CALL_TIMEOUT: _never_answered,
    DisconnectionReason.NO_AGENT: _no_agent,
    DisconnectionReason.AGENT_ERROR: _agent_error,
    DisconnectionReason.CONNECTION_LOST: _always(
        Status.FAIL,
        "the connection to the caller's SIP leg was lost: livekit-sip stopped, or its network did",
        "look into the logs of livekit-sip and livekit-server at that time",
    ),
    DisconnectionReason.GATEWAY_LOST: _always(
        Status.WARN,
        "the gateway was killed during the call, and found its room empty after the restart",
        "stop the gateway with SIGTERM, or store calls in Redis: storage.url",
    ),
    DisconnectionReason.MANUAL_STOPPED: _always(Status.OK, "an API client ended the call"),
}
