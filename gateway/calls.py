"""A call, what can happen to it, and `advance()`. Pure: no I/O, no clock, no randomness."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
    MANUAL_STOPPED = "manual_stopped"


class EventKind(StrEnum):
    """What can happen to a call; the value is the timeline's name for it."""

    REGISTERED = "registered"
    ROOM_CREATED = "room_created"
    LIVEKIT_FAILED = "livekit_failed"
    DISPATCHED = "dispatched"
    NO_AGENT = "no_agent"
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
    OVERRAN = "overran"


@dataclass(frozen=True, slots=True)
class SipOutcome:
    """A final SIP answer (RFC 3261 §21): `status` such as 486 and its reason phrase."""

    status: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened `at` (ms since epoch).

    `reason` is why, where the event ends a call and knows better than its kind tells; `ids` are
    LiveKit's names for the call's parts (`room_sid`, `dispatch_id`, `job_id`); `report` is the
    agent's; `detail` is for the reader of the timeline only.
    """

    kind: EventKind
    at: int
    reason: DisconnectionReason | None = None
    sip: SipOutcome | None = None
    ids: Mapping[str, str] | None = None
    report: Mapping[str, object] | None = None
    detail: str = ""


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
    `job_id`).
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
    metadata: Mapping[str, object] = field(default_factory=dict)
    jambonz: Mapping[str, str] = field(default_factory=dict)
    livekit: Mapping[str, str] = field(default_factory=dict)
    timeline: tuple[TimelineEntry, ...] = ()
    report: Mapping[str, object] | None = None
    callback_url: str = field(default="", repr=False)
    callback_events: tuple[str, ...] = ()

    @property
    def is_active(self) -> bool:
        return not self.call_status.is_end

    @property
    def duration_ms(self) -> int | None:
        """From the answer to the end; None while it lasts, 0 for a call never answered."""
        if self.end_timestamp is None:
            return None
        return self.end_timestamp - (self.answer_timestamp or self.end_timestamp)


@dataclass(frozen=True, slots=True)
class Change:
    """A call before and after one event."""

    before: Call
    after: Call

    @property
    def answered(self) -> bool:
        return self.before.answer_timestamp is None and self.after.answer_timestamp is not None

    @property
    def ended(self) -> bool:
        return self.before.is_active and not self.after.is_active


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


def advance(call: Call, event: Event) -> Call:
    """The call after `event`. Total: any event is welcome in any status, in any order.

    An end is final: what comes later is noted in the timeline and changes nothing else, but the
    agent's report is kept whenever it comes.
    """
    timeline = _extend(call.timeline, event)
    report = event.report or call.report
    if not call.is_active:
        return replace(call, timeline=timeline, report=report)
    livekit = {**call.livekit, **event.ids} if event.ids else call.livekit
    noted = replace(call, timeline=timeline, livekit=livekit, report=report)
    transition = _TRANSITIONS.get(event.kind)
    return transition(noted, event) if transition else noted


def _extend(timeline: tuple[TimelineEntry, ...], event: Event) -> tuple[TimelineEntry, ...]:
    longer = (*timeline, TimelineEntry(event.at, event.kind, event.detail[:TEXT_LIMIT]))
    if len(longer) <= TIMELINE_LIMIT:
        return longer
    return longer[:TIMELINE_HEAD] + longer[TIMELINE_HEAD + 1 :]


def _ring(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.REGISTERED:
        return replace(call, call_status=CallStatus.RINGING)
    return call


def _answer(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return call
    answered_at = max(event.at, call.start_timestamp)
    return replace(call, call_status=CallStatus.ONGOING, answer_timestamp=answered_at)


def _end(call: Call, event: Event, status: CallStatus, reason: DisconnectionReason) -> Call:
    return replace(
        call,
        call_status=status,
        disconnection_reason=event.reason or reason,
        # Clocks of two machines meet here: a call never ends before it began or was answered.
        end_timestamp=max(event.at, call.answer_timestamp or call.start_timestamp),
        sip=event.sip or call.sip,
    )


def _ends_as(status: CallStatus, reason: DisconnectionReason) -> Callable[[Call, Event], Call]:
    return lambda call, event: _end(call, event, status, reason)


def _hang_up(call: Call, event: Event) -> Call:
    """The caller's leg is over: an end if there was a conversation, else no connection."""
    if call.call_status is CallStatus.ONGOING:
        return _end(call, event, CallStatus.ENDED, DisconnectionReason.USER_HANGUP)
    return _end(call, event, CallStatus.NOT_CONNECTED, DisconnectionReason.USER_HANGUP)


def _leave(call: Call, event: Event) -> Call:
    """A caller who leaves the room while it still rings is Jambonz's to explain: it knows why."""
    return _hang_up(call, event) if call.call_status is CallStatus.ONGOING else call


def _overrun(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return _end(call, event, CallStatus.ENDED, DisconnectionReason.MAX_DURATION_REACHED)
    return call


def _room_gone(call: Call, event: Event) -> Call:
    if call.call_status is CallStatus.ONGOING:
        return _end(call, event, CallStatus.ENDED, DisconnectionReason.AGENT_HANGUP)
    return _end(call, event, CallStatus.NOT_CONNECTED, DisconnectionReason.REGISTERED_CALL_TIMEOUT)


_TRANSITIONS: Mapping[EventKind, Callable[[Call, Event], Call]] = {
    EventKind.LIVEKIT_FAILED: _ends_as(CallStatus.ERROR, DisconnectionReason.DIAL_FAILED),
    EventKind.REJECTED: _ends_as(
        CallStatus.NOT_CONNECTED, DisconnectionReason.CONCURRENCY_LIMIT_REACHED
    ),
    EventKind.NO_AGENT: _ends_as(CallStatus.ERROR, DisconnectionReason.NO_AGENT),
    EventKind.DIALING: _ring,
    EventKind.RINGING: _ring,
    EventKind.CALLER_JOINED: _ring,
    EventKind.ANSWERED: _answer,
    EventKind.DIAL_FAILED: _ends_as(CallStatus.NOT_CONNECTED, DisconnectionReason.DIAL_FAILED),
    EventKind.CALLER_LEFT: _leave,
    EventKind.AGENT_FAILED: _ends_as(CallStatus.ERROR, DisconnectionReason.AGENT_ERROR),
    EventKind.HUNG_UP: _hang_up,
    EventKind.STOPPED: _hang_up,
    EventKind.ROOM_FINISHED: _room_gone,
    EventKind.EXPIRED: _ends_as(
        CallStatus.NOT_CONNECTED, DisconnectionReason.REGISTERED_CALL_TIMEOUT
    ),
    EventKind.OVERRAN: _overrun,
}
