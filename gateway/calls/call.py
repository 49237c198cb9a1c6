"""A call and the events that can happen to it. Pure; see also transitions.py and reasons.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from gateway.calls.absences import AgentAbsence, CallerAbsence
from gateway.calls.open_enum import OpenEnum
from gateway.calls.outcomes import SipOutcome, Transfer, TransferRequest
from gateway.calls.participants import Leg, Participant
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.silences import AgentSilence

#: A timeline has at most TIMELINE_LIMIT entries: beyond, the oldest after the first TIMELINE_HEAD
#: are dropped, so that it always shows how the call began and how it ended.
TIMELINE_HEAD = 24
TIMELINE_LIMIT = 64
#: Longest text that is stored from hooks, webhooks and reports, in characters.
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
    def is_terminal(self) -> bool:
        return self in TERMINAL_STATUSES


#: The statuses of a call that is over.
TERMINAL_STATUSES = frozenset({CallStatus.ENDED, CallStatus.NOT_CONNECTED, CallStatus.ERROR})


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class EventKind(OpenEnum):
    """What can happen to a call; the value is the event's name in the timeline.

    CALLER_JOINED and CALLER_LEFT are about the call's own SIP leg, PARTICIPANT_JOINED and
    PARTICIPANT_LEFT about anybody else's participant, except an agent's. AGENT_LEFT is LiveKit's
    event about that one; AGENT_GONE is reported by the agent worker when the process of the
    agent's job ends. AGENT_AUDIBLE is LiveKit's event about the agent's audio track, AGENT_READY
    the agent's own report of the same. AGENT_REPORT comes after the conversation, AGENT_SILENT from
    the agent worker, which sees the agent from outside.
    """

    REGISTERED = "registered"
    ROOM_CREATED = "room_created"
    LIVEKIT_FAILED = "livekit_failed"
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
    CALLER_RETURNED = "caller_returned"
    PARTICIPANT_JOINED = "participant_joined"
    PARTICIPANT_LEFT = "participant_left"
    STRAY_LEG_REMOVED = "stray_leg_removed"
    AGENT_JOINED = "agent_joined"
    AGENT_AUDIBLE = "agent_audible"
    AGENT_READY = "agent_ready"
    AGENT_LEFT = "agent_left"
    AGENT_GONE = "agent_gone"
    AGENT_FAILED = "agent_failed"
    AGENT_ENDED = "agent_ended"
    AGENT_REPORT = "agent_report"
    AGENT_SILENT = "agent_silent"
    AGENT_HANDED_OVER = "agent_handed_over"
    HUNG_UP = "hung_up"
    STOPPED = "stopped"
    ROOM_FINISHED = "room_finished"
    EXPIRED = "expired"
    MAX_DURATION_REACHED = "max_duration_reached"
    TRANSFER_REQUESTED = "transfer_requested"
    TRANSFER_REFUSED = "transfer_refused"
    TRANSFER_STARTED = "transfer_started"
    TRANSFER_ANNOUNCED = "transfer_announced"
    TRANSFER_DECLINED = "transfer_declined"
    TRANSFER_ENDED = "transfer_ended"
    RESTORED = "restored"
    REPORT_MISSED = "report_missed"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a call `at` (ms since epoch).

    `reason`: why the call ends, where the event says more than its kind. `ids`: LiveKit's ids of
    the call (`room_sid`, `dispatch_id`, `job_id`, `sip_call_id`). `report`: the agent's report.
    `transfer`: the transfer that starts. `detail`: text for the timeline. `id`: the sender's id of
    the event, "" if it has none; an event with an id is applied once. `answered_at` (ms since
    epoch): when a call that ends was answered, in case the answer's own event was lost.
    `silence`: when the agent was mute. `participant`: whom LiveKit's event is about. `may_return`:
    that one may be in the room again, or still. `is_presumed`: it was not reported, it follows from
    what LiveKit does not list.
    """

    kind: EventKind
    at: int
    reason: DisconnectionReason | None = None
    sip: SipOutcome | None = None
    ids: Mapping[str, str] | None = None
    report: Mapping[str, object] | None = None
    silence: AgentSilence | None = None
    transfer: Transfer | None = None
    transfer_request: TransferRequest | None = None
    detail: str = ""
    id: str = ""
    answered_at: int | None = None
    participant: Participant | None = None
    may_return: bool = False
    is_presumed: bool = False


class TimelineEntry(NamedTuple):
    at: int
    event: EventKind
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One telephone call. `call_id` is also its LiveKit room's name and its SIP URI's user part.

    Timestamps are ms since epoch, timeouts and durations s. `metadata` is what the agent receives.
    `jambonz` has Jambonz's ids of the call (`call_sid`, `account_sid`, …), `livekit` LiveKit's (see
    `Event.ids`). `asserted_identity` is whom the carrier vouches for, `diversion` who diverted the
    call. `caller_answered`: Jambonz had answered the caller before. `agent_came`: an agent has been
    in the room; `agent_audible`: its audio is in the room; `agent_absence`: it has left, and no
    other one has joined. `agent_silences`: when it was mute, as its worker has seen.
    `report_settled`: the call has ended, and its report has arrived or is not waited for any more.
    `caller` is the call's own leg, None until it is known; `participants` is everybody else who is
    or was in the room. `caller_absence`: the caller has left, but the call has not ended by it yet.
    `handed_over`: the agent has left the caller with somebody else. `end_presumed`: no event
    says that the call has ended, LiveKit only lists its room no more. `traceparent`: the context
    of its trace, as W3C has it; "" without traces.
    """

    call_id: str
    direction: Direction
    agent_name: str
    start_timestamp: int
    from_number: str = ""
    to_number: str = ""
    caller_name: str = ""
    asserted_identity: str = ""
    diversion: str = ""
    account_code: str = ""
    caller_answered: bool = False
    ringing_timeout: int = 30
    max_call_duration: int = 3600
    call_status: CallStatus = CallStatus.REGISTERED
    answer_timestamp: int | None = None
    end_timestamp: int | None = None
    disconnection_reason: DisconnectionReason | None = None
    sip: SipOutcome | None = None
    transfer: Transfer | None = None
    transfer_request: TransferRequest | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    jambonz: Mapping[str, str] = field(default_factory=dict)
    livekit: Mapping[str, str] = field(default_factory=dict)
    timeline: tuple[TimelineEntry, ...] = ()
    report: Mapping[str, object] | None = None
    agent_came: bool = False
    agent_audible: bool = False
    agent_absence: AgentAbsence | None = None
    agent_silences: tuple[AgentSilence, ...] = ()
    caller: Leg | None = None
    caller_absence: CallerAbsence | None = None
    participants: tuple[Participant, ...] = ()
    handed_over: bool = False
    end_presumed: bool = False
    report_settled: bool = False
    callback_url: str = field(default="", repr=False)
    callback_events: tuple[str, ...] = ()
    traceparent: str = ""

    @property
    def trace_id(self) -> str | None:
        """The id under which OpenTelemetry's backends have its trace; None without traces."""
        return self.traceparent.split("-")[1] if self.traceparent else None

    @property
    def is_active(self) -> bool:
        return not self.call_status.is_terminal

    @property
    def agent_reports(self) -> bool:
        """Whether its agent reports to the gateway how it fares, and when it ends."""
        return self.has_seen(EventKind.AGENT_READY)

    @property
    def is_from_jambonz(self) -> bool:
        """Whether Jambonz has the telephone's leg: inbound, or made by Jambonz's REST API."""
        return self.direction is Direction.INBOUND or "call_sid" in self.jambonz

    @property
    def is_enqueued(self) -> bool:
        """Whether the caller waits or waited in a Jambonz queue for LiveKit's leg."""
        return self.has_seen(EventKind.ENQUEUED)

    @property
    def has_rung(self) -> bool:
        """Whether the dialed leg rang. LiveKit rings a caller whom it lets into the room."""
        # A leg that LiveKit dials, also to an enqueued caller, is in the room before it rings.
        joined = not self.has_dialed_leg and self.has_seen(EventKind.CALLER_JOINED)
        return joined or self.has_seen(EventKind.RINGING)

    @property
    def is_dialed(self) -> bool:
        """Whether its callee was dialed. Of a restored call that is not known: it may have been."""
        return self.has_seen(EventKind.DIALING, EventKind.RESTORED)

    @property
    def is_withdrawn(self) -> bool:
        """Whether an outbound call ended before its dial, and not because a client hung it up.

        Whoever asked for the call got an error, and may ask again.
        """
        return (
            not (self.is_from_jambonz or self.is_active or self.is_dialed)
            and self.disconnection_reason is not DisconnectionReason.MANUAL_STOPPED
        )

    @property
    def needs_recovery(self) -> bool:
        """Whether it was restored from its room's metadata, and no caller was seen there since."""
        return self.has_seen(EventKind.RESTORED) and self.call_status is CallStatus.REGISTERED

    @property
    def open_transfer(self) -> Transfer | None:
        """The transfer whose outcome is not known yet, if there is one."""
        return self.transfer if self.transfer and self.transfer.is_open else None

    @property
    def is_transferring(self) -> bool:
        """Whether the caller leaves the agent, or has left, for a target that may not answer."""
        transfer = self.open_transfer
        return transfer is not None and transfer.kind.leaves_agent

    @property
    def has_dialed_leg(self) -> bool:
        """Whether LiveKit dials the call's own leg; else that comes by a dispatch rule."""
        return not self.is_from_jambonz or self.is_enqueued

    @property
    def duration_ms(self) -> int | None:
        """From the answer to the end; None before the end, 0 for a call never answered."""
        if self.end_timestamp is None:
            return None
        return self.end_timestamp - (self.answer_timestamp or self.end_timestamp)

    def has_seen(self, *kinds: EventKind) -> bool:
        """Whether one of these events is in its timeline."""
        return any(entry.event in kinds for entry in self.timeline)
