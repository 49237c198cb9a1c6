"""What Jambonz's hooks say, and which event of a call each of them is. Pure, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.calls.call import (
    DisconnectionReason,
    Event,
    EventKind,
    SipOutcome,
    dial_failure_reason,
)

#: How an A leg stands whose caller is no longer there.
_GONE = frozenset({"completed", "no-answer"})


@dataclass(frozen=True, slots=True)
class CallHook:
    """The first hook of an inbound call: who calls whom, and the application's own settings."""

    call_sid: str
    from_number: str
    to_number: str
    caller_name: str
    ids: Mapping[str, str] = field(default_factory=dict)
    env_vars: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def setting(self, name: str) -> str:
        """A value from the Jambonz portal (`ACCOUNT_CODE`) or a SIP header (`X-Account-Code`).

        Header names are compared without case, as RFC 3261 §7.3.1 has it; "" when given nowhere.
        """
        value = self.env_vars.get(name)
        if value not in (None, ""):
            return str(value)
        header = f"x-{name.replace('_', '-')}".lower()
        return next((v for k, v in self.headers.items() if k.lower() == header), "")


@dataclass(frozen=True, slots=True)
class StatusHook:
    """A call status hook. The B leg (towards LiveKit) names its A leg in `parent_call_sid`.

    `duration` of an answered leg that is over, in s.
    """

    call_sid: str
    call_status: str
    parent_call_sid: str = ""
    to_number: str = ""
    sip: SipOutcome | None = None
    terminated_by: str = ""
    duration: int = 0

    @property
    def is_far_leg(self) -> bool:
        return bool(self.parent_call_sid)

    @property
    def registered_sid(self) -> str:
        """The `call_sid` that the call was registered under: always the A leg's."""
        return self.parent_call_sid or self.call_sid


@dataclass(frozen=True, slots=True)
class ReferHook:
    """The refer hook of a `dial`: the leg `call_sid` wants its partner connected to `refer_to`.

    `refer_to` is the Refer-To header (RFC 3515 §2.1) as it came.
    """

    call_sid: str
    refer_to: str
    parent_call_sid: str = ""

    @property
    def registered_sid(self) -> str:
        return self.parent_call_sid or self.call_sid

    @property
    def target(self) -> str:
        """The bare URI: without display name, brackets, parameters and headers."""
        bracketed = self.refer_to.partition("<")[2].partition(">")[0]
        return (bracketed or self.refer_to).strip().partition(";")[0].partition("?")[0]


@dataclass(frozen=True, slots=True)
class QueueHook:
    """The action hook of an `enqueue`: `result` is bridged, hangup, leave or error."""

    call_sid: str
    call_status: str
    result: str = ""
    terminated_by: str = ""

    @property
    def caller_gone(self) -> bool:
        return self.call_status in _GONE


@dataclass(frozen=True, slots=True)
class DialHook:
    """The action hook of a `dial`: how the B leg ended, and where the A leg stands."""

    call_sid: str
    call_status: str
    dial_call_status: str = ""
    dial_sip: SipOutcome | None = None
    terminated_by: str = ""

    @property
    def answered(self) -> bool:
        return self.dial_call_status == "completed"

    @property
    def caller_gone(self) -> bool:
        """The hook also fires when the caller hangs up; what it answers is then ignored."""
        return self.call_status in _GONE

    @property
    def caller_answered(self) -> bool:
        """Whether the caller was answered before, so that no SIP status can refuse them now."""
        return self.call_status == "in-progress"


def status_event(hook: StatusHook, at: int) -> Event:
    """What a status hook means for the call."""
    detail = f"{'B' if hook.is_far_leg else 'A'} leg {hook.call_status}"
    match hook.is_far_leg, hook.call_status:
        case True, "ringing" | "early-media":
            return Event(EventKind.RINGING, at, detail=detail)
        case _, "in-progress":
            return Event(EventKind.ANSWERED, at, detail=detail)
        case False, "completed":
            # Only a leg that was answered completes; the hook that said so may be late, or lost.
            return Event(
                EventKind.HUNG_UP,
                at,
                reason=_hangup_reason(hook.terminated_by),
                sip=hook.sip,
                detail=detail,
                answered_at=at - hook.duration * 1000,
            )
        case False, "no-answer":
            return Event(EventKind.HUNG_UP, at, sip=hook.sip, detail=detail)
        case False, "failed" | "busy":
            reason = dial_failure_reason(hook.sip)
            return Event(EventKind.DIAL_FAILED, at, reason=reason, sip=hook.sip, detail=detail)
    # A far leg that failed is not yet the end: the dial's action hook may find a fallback.
    return Event(EventKind.LEG_STATUS, at, detail=detail)


def queue_event(hook: QueueHook, at: int) -> Event:
    """What the end of a caller's waiting, or of the talk that came of it, means for the call."""
    detail = f"queue {hook.result or 'ended'}"
    if hook.caller_gone:
        reason = _hangup_reason(hook.terminated_by)
        return Event(EventKind.HUNG_UP, at, reason=reason, detail=detail)
    if hook.result == "bridged":
        reason = DisconnectionReason.AGENT_HANGUP
        return Event(EventKind.HUNG_UP, at, reason=reason, detail=detail)
    return Event(EventKind.DIAL_FAILED, at, detail=detail)


def dial_event(hook: DialHook, at: int) -> Event:
    """What the end of the dial towards LiveKit means for the call."""
    detail = f"dial {hook.dial_call_status or 'ended without a status'}"
    if hook.dial_sip:
        detail += f", SIP {hook.dial_sip.status} {hook.dial_sip.reason}".rstrip()
    if hook.answered:
        # Whoever hung up first: the A leg of a caller who did is already completed.
        reason = _hangup_reason("caller" if hook.caller_gone else "jambonz")
        return Event(EventKind.HUNG_UP, at, reason=reason, detail=detail, answered_at=at)
    if hook.caller_gone:
        return Event(EventKind.HUNG_UP, at, sip=hook.dial_sip, detail=detail)
    reason = dial_failure_reason(hook.dial_sip)
    return Event(EventKind.DIAL_FAILED, at, reason=reason, sip=hook.dial_sip, detail=detail)


def _hangup_reason(terminated_by: str) -> DisconnectionReason:
    # Jambonz ends the A leg itself when the B leg, the agent's, is gone.
    if terminated_by == "jambonz":
        return DisconnectionReason.AGENT_HANGUP
    return DisconnectionReason.USER_HANGUP
