"""One call explained: what happened in words, the most likely cause, the next step. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.tools.doctor.causes import Cause, Facts, cause_of
from gateway.tools.doctor.check import Status, wrapped

_LABEL = 8
_TIME = 8


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, in s after the call began."""

    after: float
    what: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`headline` is how the call stands, or why there is none to explain."""

    call_id: str
    status: Status
    headline: str
    happened: tuple[Step, ...] = ()
    cause: str = ""
    next: str = ""

    def as_json(self) -> Mapping[str, Any]:
        return {
            "status": self.status,
            "call_id": self.call_id,
            "headline": self.headline,
            "happened": [{"after_s": step.after, "what": step.what} for step in self.happened],
            "cause": self.cause,
            "next": self.next,
        }

    def as_text(self) -> str:
        lines = [*_labelled(self.status, f"{self.call_id}: {self.headline}")]
        for step in self.happened:
            lines += wrapped(step.what, first=f"{step.after:{_TIME}.1f} s  ")
        lines += _labelled("cause", self.cause)
        lines += _labelled("next", self.next)
        return "\n".join(lines)


def explain(call: Mapping[str, Any], *, now: int) -> Explanation:
    """`call` as `GET /livekit-api/calls/{call_id}` answers it; `now` in ms since epoch."""
    facts = Facts.of(call, now)
    cause: Cause = cause_of(facts)
    return Explanation(
        call_id=str(call["call_id"]),
        status=cause.status,
        headline=_headline(call, facts),
        happened=tuple(
            Step(round((entry["at"] - call["start_timestamp"]) / 1000, 1), _words(entry, facts))
            for entry in call["timeline"]
        ),
        cause=cause.text,
        next="\n".join([cause.next, *_beside(call)]).strip("\n"),
    )


def unknown(call_id: str, *, url: str, kept_for: float) -> Explanation:
    """The gateway at `url` has no such call; it keeps ended ones for so many s."""
    return Explanation(
        call_id,
        Status.FAIL,
        headline=f"the gateway at {url} knows no such call",
        cause=(
            f"an ended call is kept for {kept_for:g} s (storage.ended_ttl), and none outlives a "
            "restart of the gateway; or the call went to another gateway, or never came"
        ),
        next=(
            "see which calls there are: GET /livekit-api/calls?include=ended\n"
            "if it never came, look at Jambonz: python -m gateway doctor"
        ),
    )


def _headline(call: Mapping[str, Any], facts: Facts) -> str:
    parties = f"{call['from_number'] or 'somebody'} to {call['to_number'] or 'nobody'}"
    stands = call["call_status"]
    if facts.is_active:
        stands = f"{stands} for {facts.lasted:.0f} s now"
    elif facts.reason:
        stands = f"{stands} ({facts.reason})"
    if facts.sip:
        stands += f", SIP {facts.sip}"
    return f"{facts.direction}, {parties}, {stands}"


#: What each event of a timeline means; `{0}` is its detail.
WORDS = {
    "registered": "the call is registered",
    "room_created": "LiveKit has the room and looks for a worker",
    "livekit_failed": "LiveKit failed: {0}",
    "dispatched": "a worker took the job",
    "no_agent": "no agent came: {0}",
    "enqueued": "the caller waits in a Jambonz queue for LiveKit's leg",
    "dialing": "LiveKit dials {0}",
    "rejected": "refused: {0}",
    "leg_status": "Jambonz: {0}",
    "ringing": "it rings: {0}",
    "answered": "answered: {0}",
    "dial_failed": "not connected: {0}",
    "fallback": "the caller goes to the fallback: {0}",
    "caller_joined": "the telephone's leg is in the room: {0}",
    "caller_left": "the telephone's leg left the room: {0}",
    "agent_joined": "the agent is in the room",
    "agent_ready": "the agent is ready to talk",
    "agent_left": "the agent left the room: {0}",
    "agent_gone": "the agent's process is gone",
    "agent_failed": "the agent failed: {0}",
    "agent_ended": "the agent is done: {0}",
    "hung_up": "hung up: {0}",
    "stopped": "stopped: {0}",
    "room_finished": "LiveKit has closed the room: {0}",
    "expired": "given up: {0}",
    "max_duration_reached": "longer than a call may last",
    "transfer_started": "handed on {0}",
    "transfer_ended": "the transfer is over: {0}",
    "restored": "taken up again: {0}",
    "report_missed": "no report came from the agent",
}


def _words(entry: Mapping[str, Any], facts: Facts) -> str:
    """An event in words; one that is not known here by its name."""
    event, detail = str(entry["event"]), str(entry.get("detail") or "")
    words = WORDS.get(event, f"{event.replace('_', ' ')}: {{0}}")
    if event == "registered":
        who = "Jambonz posted its call hook" if facts.is_inbound else "POST /dispatch asked for it"
        return f"{words}: {who}"
    return words.format(detail).removesuffix(" ").removesuffix(":").removesuffix(" ")


def _beside(call: Mapping[str, Any]) -> list[str]:
    """What else went wrong, without being why the call is as it is."""
    lines = []
    undelivered = [d for d in call.get("deliveries", []) if d["status"] != "delivered"]
    for delivery in undelivered:
        last = delivery["last_error"] or delivery["last_status"] or "not tried yet"
        lines.append(f"besides: callback {delivery['event']} to {delivery['url']} waits: {last}")
    return lines


def _labelled(label: str, text: str) -> list[str]:
    return wrapped(text, first=f"{label:<{_LABEL}}")
