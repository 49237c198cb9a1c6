"""A call, and what can happen to it; what becomes of it then is advance.py's. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: How many timeline entries a call keeps: the first ones tell how it began, the last how it ended.
TIMELINE_HEAD = 24
TIMELINE_LIMIT = 64
#: Longest text kept of anything that somebody else wrote, in characters.
TEXT_LIMIT = 300


class CallStatus(StrEnum):
    """Retell's call statuses, plus `ringing`."""

    REGISTERED = "registered"
    RINGING = "ringing"
    ONGOING = "ongoing"
    ENDED = "ended"
    NOT_CONNECTED = "not_connected"
    ERROR = "error"

    @property
    def is_end(self) -> bool:
        return self in ENDS


ENDS = frozenset({CallStatus.ENDED, CallStatus.NOT_CONNECTED, CallStatus.ERROR})


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class DisconnectionReason(StrEnum):
    """Why a call ended, in Retell's words where Retell has one."""

    USER_HANGUP = "user_hangup"
    AGENT_HANGUP = "agent_hangup"
    CALL_TRANSFER = "call_transfer"
    MAX_DURATION_REACHED = "max_duration_reached"
    DIAL_BUSY = "dial_busy"
    DIAL_FAILED = "dial_failed"
    DIAL_NO_ANSWER = "dial_no_answer"
    USER_DECLINED = "user_declined"
    INVALID_DESTINATION = "invalid_destination"
    CONCURRENCY_LIMIT_REACHED = "concurrency_limit_reached"
    REGISTERED_CALL_TIMEOUT = "registered_call_timeout"
    NO_AGENT = "no_agent"
    AGENT_ERROR = "agent_error"
    GATEWAY_LOST = "gateway_lost"
    MANUAL_STOPPED = "manual_stopped"


class EventKind(StrEnum):
    """What can happen to a call; the value is the timeline's name for it."""

    REGISTERED = "registered"
    ROOM_CREATED = "room_created"
    LIVEKIT_FAILED = "livekit_failed"
    DISPATCHED = "dispatched"
    NO_AGENT = "no_agent"
    ENQUEUED = "enqueued"
    DIALING = "dialing"
    REJECTED = "rejected"
    LEG_STATUS = "leg_status"
    RINGING = "ringing"
    ANSWERED = "answered"
    DIAL_FAILED = "dial_failed"
    FALLBACK = "fallback"
    CALLER_JOINED = "caller_joined"
    CALLER_LEFT = "caller_left"
    AGENT_JOINED = "agent_joined"
    AGENT_READY = "agent_ready"
    AGENT_LEFT = "agent_left"
    AGENT_GONE = "agent_gone"
    AGENT_FAILED = "agent_failed"
    AGENT_ENDED = "agent_ended"
    HUNG_UP = "hung_up"
    STOPPED = "stopped"
    ROOM_FINISHED = "room_finished"
    EXPIRED = "expired"
    MAX_DURATION_REACHED = "max_duration_reached"
    TRANSFER_STARTED = "transfer_started"
    TRANSFER_ENDED = "transfer_ended"
    RESTORED = "restored"
    REPORT_MISSED = "report_missed"


@dataclass(frozen=True, slots=True)
class SipOutcome:
    """A final SIP answer (RFC 3261 §21): `status` such as 486 and its reason phrase."""

    status: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """A call that is handed on to `target`; moments in ms since epoch.

    `sip` is how the target answered (200 is a success), None while that is open or if it was never
    known. `number` counts a call's transfers. `asked_by_sid` is the Jambonz leg whose REFER asked
    for it, if one did.
    """

    target: str
    started_at: int
    number: int = 1
    asked_by_sid: str = ""
    ended_at: int | None = None
    sip: SipOutcome | None = None


@dataclass(frozen=True, slots=True)
class AgentAbsence:
    """The agent left the call `at` (ms since epoch): its job's id, why, and who said so."""

    at: int
    job_id: str = ""
    reason: DisconnectionReason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened `at` (ms since epoch).

    `id` is its sender's, where there is one: such an event happens once. `reason` is why, where the
    event ends a call and knows better than its kind tells; `ids` are LiveKit's names for the call's
    parts (`room_sid`, `dispatch_id`, `job_id`); `report` is the agent's; `transfer` the one that
    starts; `answered_at` is when the call that ends had been answered, for which its own event may
    have been lost; `detail` is for the reader of the timeline only.
    """

    kind: EventKind
    at: int
    reason: DisconnectionReason | None = None
    sip: SipOutcome | None = None
    ids: Mapping[str, str] | None = None
    report: Mapping[str, object] | None = None
    transfer: Transfer | None = None
    detail: str = ""
    id: str = ""
    answered_at: int | None = None


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    at: int
    event: EventKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One telephone call. `call_id` is also the LiveKit room, the SIP user and the log key.

    Timestamps are ms since epoch, limits s. `metadata` is what the agent is told. `jambonz` holds
    its ids (`call_sid`, `account_sid`, …), `livekit` ours there (`room_sid`, `dispatch_id`,
    `job_id`). `agent_came` once one was there, `absence` while none is any more. `is_analyzed` once
    its report is there after its end, or is not waited for any more.
    """

    call_id: str
    direction: Direction
    agent_name: str
    start_timestamp: int
    from_number: str = ""
    to_number: str = ""
    caller_name: str = ""
    account_code: str = ""
    ringing_timeout: int = 30
    max_call_duration: int = 3600
    call_status: CallStatus = CallStatus.REGISTERED
    answer_timestamp: int | None = None
    end_timestamp: int | None = None
    disconnection_reason: DisconnectionReason | None = None
    sip: SipOutcome | None = None
    transfer: Transfer | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    jambonz: Mapping[str, str] = field(default_factory=dict)
    livekit: Mapping[str, str] = field(default_factory=dict)
    timeline: tuple[TimelineEntry, ...] = ()
    report: Mapping[str, object] | None = None
    agent_came: bool = False
    agent_absence: AgentAbsence | None = None
    report_settled: bool = False
    callback_url: str = field(default="", repr=False)
    callback_events: tuple[str, ...] = ()

    @property
    def is_active(self) -> bool:
        return not self.call_status.is_end

    @property
    def is_enqueued(self) -> bool:
        """Whether the caller waits, or waited, in a Jambonz queue for LiveKit's leg."""
        return any(entry.event is EventKind.ENQUEUED for entry in self.timeline)

    @property
    def needs_recovery(self) -> bool:
        """Whether the gateway lost it, and has found nobody in its room since."""
        restore_call = any(entry.event is EventKind.RESTORED for entry in self.timeline)
        return restore_call and self.call_status is CallStatus.REGISTERED

    @property
    def is_transferring(self) -> bool:
        """Whether it is being handed on, and nobody knows yet how that ends."""
        return self.transfer is not None and self.transfer.ended_at is None

    @property
    def duration_ms(self) -> int | None:
        """From the answer to the end; None while it lasts, 0 for a call never answered."""
        if self.end_timestamp is None:
            return None
        return self.end_timestamp - (self.answer_timestamp or self.end_timestamp)


@dataclass(frozen=True, slots=True)
class Change:
    """A call before and after one event; `before` is None for one that is new."""

    before: Call | None
    after: Call

    @property
    def answered(self) -> bool:
        was = self.before is not None and self.before.answer_timestamp is not None
        return not was and self.after.answer_timestamp is not None

    @property
    def ended(self) -> bool:
        was = self.before is not None and not self.before.is_active
        return not was and not self.after.is_active

    @property
    def report_settled(self) -> bool:
        was = self.before is not None and self.before.report_settled
        return not was and self.after.report_settled

    @property
    def transfer_started(self) -> bool:
        was = self.before is not None and self.before.is_transferring
        return not was and self.after.is_transferring

    @property
    def transfer_ended(self) -> bool:
        was = self.before is not None and self.before.is_transferring
        return was and not self.after.is_transferring


#: RFC 3261 §21: the SIP statuses that say more than "failed".
_SIP_REASONS = {
    404: DisconnectionReason.INVALID_DESTINATION,
    408: DisconnectionReason.DIAL_NO_ANSWER,
    480: DisconnectionReason.DIAL_NO_ANSWER,
    484: DisconnectionReason.INVALID_DESTINATION,
    486: DisconnectionReason.DIAL_BUSY,
    487: DisconnectionReason.DIAL_NO_ANSWER,
    600: DisconnectionReason.DIAL_BUSY,
    603: DisconnectionReason.USER_DECLINED,
    604: DisconnectionReason.INVALID_DESTINATION,
}


def sip_reason(sip: SipOutcome | None) -> DisconnectionReason:
    """Why a leg that was never answered failed, as far as its SIP status tells."""
    if sip is None:
        return DisconnectionReason.DIAL_FAILED
    return _SIP_REASONS.get(sip.status, DisconnectionReason.DIAL_FAILED)
