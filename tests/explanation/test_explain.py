"""The explanation of a call, for each way in which it may end."""

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.calls.call import Call, Direction, Event, EventKind, TimelineEntry
from gateway.calls.outcomes import SipOutcome, Transfer
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.silences import AgentSilence
from gateway.calls.transitions import transition
from gateway.calls.views import details
from gateway.explanation.causes import BY_REASON, Facts, cause_of
from gateway.explanation.explain import WORDS, Explanation, explain, not_found
from gateway.explanation.status import Status
from gateway.tools.doctor.explanation_text import explanation_text

START = 1_800_000_000_000
OK, WARN, FAIL = Status.OK, Status.WARN, Status.FAIL
#: The events of a call: a kind alone, or an event with time, detail, reason, SIP status.
Story = Sequence[str | Event]


def event_of(
    kind: EventKind,
    *,
    after: float = 1,
    detail: str = "",
    reason: DisconnectionReason | None = None,
    sip: int | None = None,
) -> Event:
    outcome = SipOutcome(sip, "Because") if sip else None
    return Event(kind, START + round(after * 1000), reason=reason, sip=outcome, detail=detail)


def explanation_of(direction: Direction, story: Story, *, after: float = 60) -> Explanation:
    """The explanation of a call with these events, `after` s after its start."""
    call = Call(
        call_id="call-1",
        direction=direction,
        agent_name="nehos",
        start_timestamp=START,
        from_number="+15550100",
        to_number="+15550199",
        timeline=(TimelineEntry(START, EventKind.REGISTERED),),
    )
    for part in story:
        event = event_of(EventKind(part)) if isinstance(part, str) else part
        call = transition(call, event)
    return explain({**details(call), "deliveries": []}, now=START + round(after * 1000))


def inbound(*story: str | Event, after: float = 60) -> Explanation:
    return explanation_of(Direction.INBOUND, story, after=after)


def outbound(*story: str | Event, after: float = 60) -> Explanation:
    return explanation_of(Direction.OUTBOUND, story, after=after)


B_RINGS = event_of(EventKind.RINGING, detail="B leg ringing")
A_TRIES = event_of(EventKind.LEG_STATUS, after=2, detail="A leg trying")
EXPIRED = event_of(EventKind.EXPIRED, after=60, detail="not answered within 60 s")
HUNG_UP_BY_CLIENT = event_of(EventKind.STOPPED, reason=DisconnectionReason.MANUAL_STOPPED)
CALLER_HANGS_UP = event_of(EventKind.HUNG_UP, after=20, detail="A leg no-answer", sip=487)


def dial_failed(
    sip: int | None, after: float = 3, reason: DisconnectionReason | None = None
) -> Event:
    kind = EventKind.DIAL_FAILED
    return event_of(kind, after=after, detail="dial failed", sip=sip, reason=reason)


HANGUP = DisconnectionReason.AGENT_HANGUP
NO_CARRIER = DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE
NO_CREDENTIALS = DisconnectionReason.TELEPHONY_PROVIDER_PERMISSION_DENIED


@pytest.mark.parametrize(
    ("explanation", "status", "cause", "step"),
    [
        (
            inbound("room_created", B_RINGS, A_TRIES, EXPIRED),
            FAIL,
            "never reached the room: no inbound trunk or dispatch rule",
            "inbound route",
        ),
        (inbound("room_created", EXPIRED), FAIL, "Jambonz reported no dial", "SIP host"),
        (
            inbound("room_created", "caller_joined", EXPIRED),
            FAIL,
            "no worker took the job for 'nehos'",
            "python -m agent",
        ),
        (
            inbound("room_created", "caller_joined", "agent_joined", EXPIRED),
            FAIL,
            "the agent sent no audio",
            "worker's log",
        ),
        (
            inbound("room_created", "enqueued", "agent_joined", EXPIRED),
            FAIL,
            "LiveKit's INVITE never came to Jambonz",
            "outbound trunk",
        ),
        (inbound("room_created", "no_agent"), FAIL, "no worker took the job", "see worker"),
        (
            inbound(event_of(EventKind.LIVEKIT_FAILED, detail="LiveKit cannot be reached")),
            FAIL,
            "LiveKit cannot be reached",
            "LiveKit key",
        ),
        (
            inbound(event_of(EventKind.LIVEKIT_FAILED, detail="there is no outbound trunk")),
            FAIL,
            "no outbound trunk",
            "outbound trunk",
        ),
        (inbound(HUNG_UP_BY_CLIENT, event_of(EventKind.LIVEKIT_FAILED)), OK, "an API client", ""),
        (inbound("rejected"), FAIL, "the limit of active calls was reached", "max_active_calls"),
        (inbound("room_created", CALLER_HANGS_UP), FAIL, "hung up after 20 s", "SIP host"),
        (
            inbound("caller_joined", "agent_joined", CALLER_HANGS_UP),
            FAIL,
            "the agent sent no audio",
            "worker's log",
        ),
        (
            inbound("room_created", event_of(EventKind.HUNG_UP, after=2)),
            WARN,
            "the caller hung up after 2 s",
            "",
        ),
        (inbound("answered", event_of(EventKind.HUNG_UP, after=9)), OK, "far end hung up", ""),
        (
            inbound("answered", event_of(EventKind.MAX_DURATION_REACHED, after=9)),
            WARN,
            "reached its maximum duration",
            "inbound.max_call_duration",
        ),
        (
            inbound("answered", event_of(EventKind.AGENT_FAILED, detail="KeyError: 'x'")),
            FAIL,
            "the agent failed: KeyError: 'x'",
            "worker's log",
        ),
        (
            inbound("answered", "agent_gone", "agent_failed"),
            FAIL,
            "the agent's process ended",
            "worker's log",
        ),
        (inbound("room_created", dial_failed(403)), FAIL, "does not allow this address", "setup"),
        (inbound("room_created", dial_failed(404)), FAIL, "no trunk or rule", "inbound route"),
        (inbound("room_created", dial_failed(407)), FAIL, "requires credentials", "inbound route"),
        (inbound("room_created", dial_failed(408)), FAIL, "did not answer", "SIP host"),
        (inbound(B_RINGS, dial_failed(408)), FAIL, "never reached the room", "inbound route"),
        (inbound("room_created", dial_failed(480)), FAIL, "could not take", "worker"),
        (inbound("room_created", dial_failed(486)), FAIL, "no such room", "LIVEKIT_SIP_HOST"),
        (
            inbound("caller_joined", dial_failed(486)),
            FAIL,
            "the room was closed while it rang",
            "worker's log",
        ),
        (inbound("room_created", dial_failed(503)), FAIL, "could not choose", "inbound route"),
        (inbound("room_created", dial_failed(None)), FAIL, "could not place", "SIP by TCP"),
        (inbound("room_created", dial_failed(599)), FAIL, "the far end failed", "SIP status"),
        (outbound("agent_audible", dial_failed(403)), FAIL, "this caller ID", "caller_number"),
        (outbound("agent_audible", dial_failed(404)), WARN, "does not exist", "country code"),
        (outbound("agent_audible", dial_failed(486)), WARN, "busy", "later"),
        (outbound("agent_audible", dial_failed(480)), WARN, "cannot be reached", "later"),
        (outbound("agent_audible", dial_failed(408)), WARN, "did not answer", "later"),
        (outbound("agent_audible", dial_failed(503)), FAIL, "trunk's address", "outbound trunk"),
        (outbound("agent_audible", dial_failed(603)), WARN, "declined", ""),
        (outbound("agent_audible", dial_failed(608)), FAIL, "taken for spam", "STIR/SHAKEN"),
        (
            outbound("agent_audible", dial_failed(None, reason=NO_CARRIER)),
            FAIL,
            "trunk's address",
            "outbound trunk",
        ),
        (
            outbound("agent_audible", dial_failed(487, reason=NO_CARRIER)),
            FAIL,
            "trunk's address",
            "outbound trunk",
        ),
        (
            outbound("agent_audible", dial_failed(None, reason=NO_CREDENTIALS)),
            FAIL,
            "requires credentials",
            "SIP_OUTBOUND_USERNAME",
        ),
        (outbound("agent_audible", dial_failed(None)), FAIL, "reported no cause", "outbound trunk"),
        (outbound("no_agent"), FAIL, "no worker took the job", "see worker"),
        (outbound("agent_audible", "stopped"), WARN, "hung up after 1 s, unanswered", ""),
    ],
)
def test_why_a_call_ended(explanation: Explanation, status: Status, cause: str, step: str) -> None:
    assert explanation.status is status, explanation
    assert cause in explanation.cause
    assert (step in explanation.next) if step else (explanation.next == "")


@pytest.mark.parametrize(
    ("explanation", "status", "cause", "step"),
    [
        (inbound("room_created", after=12), WARN, "no worker has taken the job", "see worker"),
        (inbound("room_created", after=1), OK, "no agent yet", ""),
        (inbound("agent_joined", B_RINGS, after=12), WARN, "does not route", "inbound route"),
        (inbound("agent_joined", "caller_joined", after=9), WARN, "once the agent", "worker's log"),
        (inbound("agent_joined", "answered", after=900), OK, "the conversation is under way", ""),
        (outbound("agent_audible", "dialing", after=20), OK, "telephone is ringing", ""),
    ],
)
def test_the_state_of_an_active_call(
    explanation: Explanation, status: Status, cause: str, step: str
) -> None:
    assert explanation.status is status
    assert cause in explanation.cause
    assert step in explanation.next
    assert " s now" in explanation.headline


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("+15550107", "the caller was transferred to the fallback +15550107"),
        ("no target left, SIP 503", "the caller was refused: inbound.fallback has no target left"),
    ],
)
def test_the_fallback_is_named(detail: str, words: str) -> None:
    fallback = event_of(EventKind.FALLBACK, after=3, detail=detail)
    assert words in inbound("room_created", "no_agent", fallback).cause


def transferred(sip: SipOutcome | None, reason: DisconnectionReason | None) -> Explanation:
    target = Transfer("+15550109", START + 5000)
    return inbound(
        "agent_joined",
        "answered",
        Event(EventKind.TRANSFER_STARTED, START + 5000, transfer=target, detail="to +15550109"),
        Event(EventKind.TRANSFER_ENDED, START + 9000, reason=reason, sip=sip, detail="dial busy"),
    )


def test_a_transferred_call() -> None:
    explanation = transferred(SipOutcome(200, "OK"), DisconnectionReason.CALL_TRANSFER)
    assert (explanation.status, explanation.cause) == (OK, "the call was transferred")
    assert "transfer to +15550109" in [step.text for step in explanation.timeline]


def test_a_failed_transfer() -> None:
    explanation = transferred(SipOutcome(486, "Busy Here"), None)
    assert explanation.cause == (
        "the conversation is under way; the transfer to +15550109 ended with 486 Busy Here"
    )


@pytest.mark.parametrize("reason", DisconnectionReason)
def test_every_reason_has_a_cause(reason: DisconnectionReason) -> None:
    explanation = inbound("room_created", event_of(EventKind.HUNG_UP, reason=reason))
    assert reason in BY_REASON
    assert "it ended with" not in explanation.cause
    assert explanation.cause


@pytest.mark.parametrize("kind", EventKind)
def test_every_event_has_a_text(kind: EventKind) -> None:
    assert kind in WORDS
    for detail in ("", "because"):
        event = Event(kind, START + 1500, detail=detail, transfer=Transfer("+1", START))
        step = inbound(event).timeline[-1]
        assert step.after == 1.5
        assert not step.text.endswith((":", " "))
        assert "{" not in step.text


def test_an_unknown_event_is_shown_by_its_name() -> None:
    call: dict[str, Any] = {
        **details(Call("call-1", Direction.INBOUND, "nehos", START)),
        "timeline": [{"at": START, "event": "ivr_reached", "detail": "a menu"}],
    }
    assert explain(call, now=START).timeline[0].text == "ivr reached: a menu"


def test_an_unknown_reason_is_shown_by_its_name() -> None:
    call = {
        **details(Call("call-1", Direction.INBOUND, "nehos", START)),
        "call_status": "ended",
        "disconnection_reason": "ivr_reached",
        "end_timestamp": START,
    }
    assert cause_of(Facts.of(call, START)).text == "it ended with ivr_reached"


@pytest.mark.field("H10")
@pytest.mark.parametrize(
    ("stalls", "status", "text"),
    [
        ([], OK, ""),
        ([{"at": START, "duration_ms": 1200}], WARN, "silent for 1.2 s"),
        ([{"at": START, "duration_ms": 1200}, {"at": START, "duration_ms": 8040}], FAIL, "8.0 s"),
        ([5, {"duration_ms": "long"}, None], OK, ""),
        ("often", OK, ""),
    ],
)
def test_a_call_in_which_the_agents_process_stood_still_is_not_ok(
    stalls: object, status: Status, text: str
) -> None:
    report = Event(EventKind.AGENT_REPORT, START, report={"stalls": stalls})
    explanation = inbound("answered", "agent_ready", "hung_up", report)
    assert explanation.status is status
    assert ("silent" in explanation.cause) is bool(text)
    assert text in explanation.cause


@pytest.mark.parametrize(
    "end",
    ["hung_up", "agent_failed", event_of(EventKind.AGENT_ENDED, reason=HANGUP), None],
)
def test_a_call_whose_worker_saw_its_agent_silent_is_never_fine(end: str | Event | None) -> None:
    silence = AgentSilence(START + 1_000, 5_000)
    silent = Event(EventKind.AGENT_SILENT, START + 6_000, silence=silence, detail="for 5.0 s")
    story = ["answered", "agent_ready", silent, *([end] if end else [])]
    explanation = inbound(*story)
    assert explanation.status is FAIL
    assert "silent for 5.0 s" in explanation.cause
    assert "the agent was silent for 5.0 s" in [step.text for step in explanation.timeline]


@pytest.mark.field("H10")
def test_a_call_whose_agent_did_not_report_its_end_is_not_ok() -> None:
    assert explain(answered_call("agent_ready"), now=START).status is OK
    explanation = explain(answered_call("agent_ready", "report_missed"), now=START)
    assert explanation.status is WARN
    assert "the agent sent no report" in explanation.cause
    # Another agent may never report.
    assert explain(answered_call("report_missed"), now=START).status is OK


def answered_call(*events: str) -> dict[str, Any]:
    return {
        **details(Call("call-1", Direction.INBOUND, "nehos", START)),
        "call_status": "ended",
        "disconnection_reason": "user_hangup",
        "end_timestamp": START + 14_000,
        "timeline": [{"at": START, "event": event} for event in events],
    }


def test_callbacks_that_wait_are_explanation_of() -> None:
    delivery = {
        "event": "call_ended",
        "url": "https://n8n.example.com/hook",
        "status": "pending",
        "last_error": "",
        "last_status": 500,
    }
    call = details(Call("call-1", Direction.INBOUND, "nehos", START))
    explanation = explain({**call, "deliveries": [delivery]}, now=START)
    assert "callback call_ended to https://n8n.example.com/hook is pending: 500" in explanation.next


def test_an_unknown_call() -> None:
    url = "https://gw.example.com"
    explanation = not_found("call-1", url=url, kept_for=3600, setting="storage.ended_ttl")
    assert explanation.status is FAIL
    assert "kept for 3600 s (storage.ended_ttl)" in explanation.cause
    explanation = not_found("call-1", url=url, kept_for=2_592_000, setting="history.retention")
    assert "kept for 30 days (history.retention)" in explanation.cause


def test_an_explanation_as_text_and_as_json() -> None:
    explanation = inbound("room_created", B_RINGS, A_TRIES, EXPIRED)
    lines = explanation_text(explanation).splitlines()
    assert lines[0] == (
        "fail    call-1: inbound, +15550100 to +15550199, not_connected (registered_call_timeout)"
    )
    assert "    60.0 s  expired: not answered within 60 s" in lines
    assert [line.split()[0] for line in lines if line[0] != " "] == ["fail", "cause", "next"]
    assert max(map(len, lines)) <= 100
    content = explanation.as_json()
    assert content["status"] == "fail"
    assert content["timeline"][-1] == {
        "after_s": 60.0,
        "text": "expired: not answered within 60 s",
    }
