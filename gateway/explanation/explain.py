"""Explains one call: its timeline in words, the most likely cause, the next step. Does no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.calls.call import EventKind
from gateway.explanation.causes import Facts, cause_of
from gateway.explanation.conversation import said_around_gaps, with_conversation
from gateway.explanation.status import Status


@dataclass(frozen=True, slots=True)
class Step:
    """An event of the timeline in words, or what was said; `after` in s since the call began."""

    after: float
    text: str

    def as_json(self) -> Mapping[str, Any]:
        return {"after_s": self.after, "text": self.text}


@dataclass(frozen=True, slots=True)
class Explanation:
    """`headline` is the state of the call, or why there is no call to explain.

    `said` is the transcript around what was wrong with the conversation.
    """

    call_id: str
    status: Status
    headline: str
    timeline: tuple[Step, ...] = ()
    said: tuple[Step, ...] = ()
    cause: str = ""
    next: str = ""

    def as_json(self) -> Mapping[str, Any]:
        return {
            "status": self.status,
            "call_id": self.call_id,
            "headline": self.headline,
            "timeline": [step.as_json() for step in self.timeline],
            "said": [step.as_json() for step in self.said],
            "cause": self.cause,
            "next": self.next,
        }


def explain(call: Mapping[str, Any], *, now: int) -> Explanation:
    """`call` is the response of `GET /livekit-api/calls/{call_id}`; `now` in ms since epoch."""
    facts = Facts.of(call, now)
    cause = with_conversation(cause_of(facts), call)
    began = call["start_timestamp"]
    return Explanation(
        call_id=str(call["call_id"]),
        status=cause.status,
        headline=_headline(call, facts),
        timeline=tuple(
            Step(_after(began, entry["at"]), _words(entry, facts)) for entry in call["timeline"]
        ),
        said=tuple(Step(_after(began, line.at), line.text) for line in said_around_gaps(call)),
        cause=cause.text,
        next="\n".join([cause.next, *_undelivered(call)]).strip("\n"),
    )


def _after(began: int, at: int) -> float:
    """In s; both in ms since epoch."""
    return round((at - began) / 1000, 1)


def not_found(call_id: str, *, url: str, kept_for: float, setting: str) -> Explanation:
    """The gateway at `url` has no such call; it keeps ended ones for `kept_for` s, by `setting`."""
    days = kept_for / 86_400
    time = f"{days:.0f} days" if days >= 2 else f"{kept_for:g} s"
    return Explanation(
        call_id,
        Status.FAIL,
        headline=f"the gateway at {url} has no such call",
        cause=(
            f"ended calls are kept for {time} ({setting}); or the call went to another gateway, or "
            "never reached one"
        ),
        next=(
            "list the calls: python -m gateway calls list --all\n"
            "if the call never reached the gateway, check Jambonz: python -m gateway doctor"
        ),
    )


def _headline(call: Mapping[str, Any], facts: Facts) -> str:
    parties = f"{call['from_number'] or 'unknown'} to {call['to_number'] or 'unknown'}"
    state = call["call_status"]
    if facts.is_active:
        state = f"{state} for {facts.lasted:.0f} s now"
    elif facts.reason:
        state = f"{state} ({facts.reason})"
    if facts.sip:
        state += f", SIP {facts.sip}"
    return f"{facts.direction}, {parties}, {state}"


#: Each event of a timeline in words; `{0}` is its detail.
WORDS: Mapping[EventKind, str] = {
    EventKind.REGISTERED: "the call is registered",
    EventKind.ROOM_CREATED: "LiveKit created the room and is choosing a worker",
    EventKind.LIVEKIT_FAILED: "LiveKit failed: {0}",
    EventKind.NO_AGENT: "no agent joined: {0}",
    EventKind.ENQUEUED: "the caller waits in a Jambonz queue for LiveKit's INVITE",
    EventKind.DIALING: "LiveKit dials {0}",
    EventKind.REJECTED: "refused: {0}",
    EventKind.LEG_STATUS: "Jambonz: {0}",
    EventKind.RINGING: "ringing: {0}",
    EventKind.ANSWERED: "answered: {0}",
    EventKind.DIAL_FAILED: "not connected: {0}",
    EventKind.FALLBACK: "the caller is transferred to the fallback: {0}",
    EventKind.CALLER_JOINED: "the caller's SIP leg joined the room: {0}",
    EventKind.CALLER_LEFT: "the caller's SIP leg left the room: {0}",
    EventKind.CALLER_RETURNED: "the caller's SIP leg is in the room again: {0}",
    EventKind.PARTICIPANT_JOINED: "somebody else joined the room: {0}",
    EventKind.PARTICIPANT_LEFT: "somebody else left the room: {0}",
    EventKind.STRAY_LEG_REMOVED: "an unsolicited SIP leg was removed from the room: {0}",
    EventKind.AGENT_JOINED: "the agent joined the room",
    EventKind.AGENT_AUDIBLE: "the agent's audio is in the room: {0}",
    EventKind.AGENT_READY: "the agent is ready to talk",
    EventKind.AGENT_LEFT: "the agent left the room: {0}",
    EventKind.AGENT_GONE: "the agent's process ended",
    EventKind.AGENT_FAILED: "the agent failed: {0}",
    EventKind.AGENT_ENDED: "the agent's session ended: {0}",
    EventKind.AGENT_REPORT: "the agent sent its report",
    EventKind.AGENT_SILENT: "the agent was silent {0}",
    EventKind.AGENT_HANDED_OVER: "the agent left the caller with somebody else: {0}",
    EventKind.HUNG_UP: "hung up: {0}",
    EventKind.STOPPED: "stopped: {0}",
    EventKind.ROOM_FINISHED: "LiveKit has closed the room: {0}",
    EventKind.EXPIRED: "expired: {0}",
    EventKind.MAX_DURATION_REACHED: "the call reached its maximum duration",
    EventKind.TRANSFER_REQUESTED: "a transfer was requested {0}",
    EventKind.TRANSFER_REFUSED: "the transfer was refused: {0}",
    EventKind.TRANSFER_STARTED: "transfer {0}",
    EventKind.TRANSFER_ANNOUNCED: "the target hears the summary: {0}",
    EventKind.TRANSFER_DECLINED: "the target did not take the call: {0}",
    EventKind.TRANSFER_ENDED: "the transfer ended: {0}",
    EventKind.RESTORED: "restored: {0}",
    EventKind.REPORT_MISSED: "the agent sent no report",
}


def _words(entry: Mapping[str, Any], facts: Facts) -> str:
    """An event in words: its name if another version of the gateway added it."""
    event, detail = str(entry["event"]), str(entry.get("detail") or "")
    try:
        words = WORDS[EventKind(event)]
    except KeyError:
        words = f"{event.replace('_', ' ')}: {{0}}"
    if event == EventKind.REGISTERED:
        origin = "Jambonz posted its call hook" if facts.is_inbound else "POST /dispatch"
        return f"{words}: {detail or origin}"
    return words.format(detail).removesuffix(" ").removesuffix(":").removesuffix(" ")


def _undelivered(call: Mapping[str, Any]) -> list[str]:
    """A line for each callback that is not delivered."""
    lines = []
    for delivery in call.get("deliveries", []):
        if delivery["status"] != "delivered":
            last = delivery["last_error"] or delivery["last_status"] or "no attempt yet"
            event, url = delivery["event"], delivery["url"]
            lines.append(f"callback {event} to {url} is {delivery['status']}: {last}")
    return lines
