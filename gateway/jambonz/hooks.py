"""Jambonz's hooks as dataclasses, and the event of a call that each of them means. Pure.

The A leg of a call is the caller's; a B leg is dialed by Jambonz, to LiveKit or to another target.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from gateway.calls.call import TEXT_LIMIT, Event, EventKind
from gateway.calls.outcomes import SipOutcome
from gateway.calls.reasons import DisconnectionReason, reason_of_status
from gateway.jambonz.identity import header

#: `call_status` of an A leg that has ended.
_A_LEG_ENDED = frozenset({"completed", "no-answer"})
#: `call_status` of an A leg that was answered.
_A_LEG_ANSWERED = "in-progress"


@dataclass(frozen=True, slots=True)
class CallHook:
    """The call hook: a call arrives, or Jambonz's REST API has made one (`is_outbound`).

    `ids` are Jambonz's ids of the call. `env_vars` are the application's settings in the Jambonz
    portal, `headers` those of the caller's INVITE.
    """

    call_sid: str
    from_number: str
    to_number: str
    caller_name: str
    call_status: str = ""
    is_outbound: bool = False
    ids: Mapping[str, str] = field(default_factory=dict)
    env_vars: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def caller_answered(self) -> bool:
        """Whether Jambonz has answered the caller already, as before a `redirect`."""
        return self.call_status == _A_LEG_ANSWERED

    def setting(self, name: str, trusted_headers: Container[str] = ()) -> str:
        """The value from the portal (`ACCOUNT_CODE`), "" if it is not given there.

        Then the caller's own SIP header (`X-Account-Code`) counts, if it is one of
        `trusted_headers`.
        """
        value = str(self.env_vars.get(name) or "").strip()
        own_header = f"X-{name.replace('_', '-').title()}"
        if value or own_header not in trusted_headers:
            return value
        return header(self.headers, own_header).strip()[:TEXT_LIMIT]


@dataclass(frozen=True, slots=True)
class StatusHook:
    """A call status hook. That of a B leg has the A leg's `call_sid` as `parent_call_sid`.

    `duration` of an answered leg that has ended, in s.
    """

    call_sid: str
    call_status: str
    parent_call_sid: str = ""
    to_number: str = ""
    sip: SipOutcome | None = None
    terminated_by: str = ""
    duration: int = 0

    @property
    def is_b_leg(self) -> bool:
        return bool(self.parent_call_sid)

    @property
    def a_leg_sid(self) -> str:
        """The A leg's `call_sid`, which the call is registered with."""
        return self.parent_call_sid or self.call_sid

    @property
    def summary(self) -> str:
        """The leg and its status, for the timeline; with the cause of a leg that failed."""
        text = f"{'B' if self.is_b_leg else 'A'} leg {self.call_status}"
        refused = self.sip is not None and self.sip.status >= 300
        return f"{text}{_in_words(self.sip)}" if refused else text


@dataclass(frozen=True, slots=True)
class ReferHook:
    """The refer hook of a `dial`: the leg `call_sid` has sent a REFER about the other leg.

    `refer_to` is the value of the Refer-To header (RFC 3515 §2.1).
    """

    call_sid: str
    refer_to: str
    parent_call_sid: str = ""

    @property
    def a_leg_sid(self) -> str:
        """The A leg's `call_sid`, which the call is registered with."""
        return self.parent_call_sid or self.call_sid

    @property
    def target(self) -> str:
        """The URI of Refer-To without display name, brackets, parameters and headers."""
        bracketed = self.refer_to.partition("<")[2].partition(">")[0]
        return (bracketed or self.refer_to).strip().partition(";")[0].partition("?")[0]


@dataclass(frozen=True, slots=True)
class QueueHook:
    """The action hook of an `enqueue`; `result` is bridged, hangup, leave or error."""

    call_sid: str
    call_status: str
    result: str = ""
    terminated_by: str = ""

    @property
    def caller_gone(self) -> bool:
        return self.call_status in _A_LEG_ENDED


@dataclass(frozen=True, slots=True)
class GatherHook:
    """The action hook of a `gather`: the keys that were pressed, "" for none in time."""

    call_sid: str
    digits: str = ""


@dataclass(frozen=True, slots=True)
class DialHook:
    """The action hook of a `dial`: the B leg's outcome (`dial_…`) and the A leg's `call_status`."""

    call_sid: str
    call_status: str
    dial_call_status: str = ""
    dial_sip: SipOutcome | None = None
    terminated_by: str = ""

    @property
    def answered(self) -> bool:
        """Whether the B leg was answered, also if its last status came too late (`in-progress`)."""
        return self.dial_call_status in {"completed", "in-progress"}

    @property
    def caller_gone(self) -> bool:
        """Whether the caller has hung up; Jambonz then ignores the verbs of the answer."""
        return self.call_status in _A_LEG_ENDED

    @property
    def final_sip(self) -> SipOutcome | None:
        """The B leg's final response (RFC 3261 §21); None if none came.

        A dial that Jambonz gave up may still have the last provisional status.
        """
        return self.dial_sip if self.dial_sip and self.dial_sip.status >= 300 else None

    @property
    def caller_answered(self) -> bool:
        """Whether the A leg was answered already: then `sip:decline` has no effect."""
        return self.call_status == _A_LEG_ANSWERED


def status_event(hook: StatusHook, at: int, *, has_rung: bool = False) -> Event:
    """The event that a call status hook means. `at` in ms since epoch.

    `has_rung`: the leg to LiveKit has rung, see `Call.has_rung`.
    """
    detail = hook.summary
    match hook.is_b_leg, hook.call_status:
        case True, "ringing" | "early-media":
            return Event(EventKind.RINGING, at, detail=detail)
        case _, "in-progress":
            return Event(EventKind.ANSWERED, at, detail=detail)
        case False, "completed":
            # Only an answered leg completes; its `in-progress` hook may be late or lost.
            return Event(
                EventKind.HUNG_UP,
                at,
                reason=_hangup_reason(hook.terminated_by),
                sip=hook.sip,
                detail=detail,
                answered_at=at - hook.duration * 1000,
            )
        case False, "no-answer":
            reason = _hangup_reason(hook.terminated_by)
            return Event(EventKind.HUNG_UP, at, reason=reason, sip=hook.sip, detail=detail)
        case False, "failed" | "busy":
            reason = _failure_reason(hook.sip, has_rung=has_rung)
            return Event(EventKind.DIAL_FAILED, at, reason=reason, sip=hook.sip, detail=detail)
    # A failed B leg does not end the call: the dial's action hook may route to a fallback.
    # `queued`, `trying`: nothing rings yet.
    return Event(EventKind.LEG_STATUS, at, detail=detail)


def queue_event(hook: QueueHook, at: int) -> Event:
    """The event that the action hook of an `enqueue` means. `at` in ms since epoch."""
    detail = f"queue {hook.result or 'ended'}"
    if hook.caller_gone:
        reason = _hangup_reason(hook.terminated_by)
        return Event(EventKind.HUNG_UP, at, reason=reason, detail=detail)
    if hook.result == "bridged":
        reason = DisconnectionReason.AGENT_HANGUP
        return Event(EventKind.HUNG_UP, at, reason=reason, detail=detail)
    return Event(EventKind.DIAL_FAILED, at, detail=detail)


def dial_event(hook: DialHook, at: int, *, has_rung: bool = False) -> Event:
    """The event that the action hook of a `dial` means; see `status_event()`."""
    detail = f"dial {hook.dial_call_status or 'ended without a status'}{_in_words(hook.dial_sip)}"
    if hook.answered:
        # If the caller hung up first, the A leg has ended before the dial.
        reason = _hangup_reason(hook.terminated_by if hook.caller_gone else "jambonz")
        return Event(EventKind.HUNG_UP, at, reason=reason, detail=detail, answered_at=at)
    if hook.caller_gone:
        reason = _hangup_reason(hook.terminated_by)
        return Event(EventKind.HUNG_UP, at, reason=reason, sip=hook.final_sip, detail=detail)
    reason = _failure_reason(hook.dial_sip, has_rung=has_rung)
    return Event(EventKind.DIAL_FAILED, at, reason=reason, sip=hook.final_sip, detail=detail)


def _failure_reason(sip: SipOutcome | None, *, has_rung: bool) -> DisconnectionReason:
    """The reason of a dial that failed; a provisional status is what its ring timeout left."""
    if sip is None:
        return DisconnectionReason.DIAL_FAILED
    if sip.status < 200:
        return DisconnectionReason.DIAL_NO_ANSWER
    return reason_of_status(sip.status, has_rung=has_rung)


def _in_words(sip: SipOutcome | None) -> str:
    return f", SIP {sip.status} {sip.reason}".rstrip() if sip else ""


def _hangup_reason(terminated_by: str) -> DisconnectionReason:
    # Jambonz itself ends the A leg when the B leg, the agent's, has ended.
    if terminated_by == "jambonz":
        return DisconnectionReason.AGENT_HANGUP
    return DisconnectionReason.USER_HANGUP
