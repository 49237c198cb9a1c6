"""One call explained: each way it may end, as the gateway's own JSON tells it."""

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.calls.call import (
    Call,
    Direction,
    DisconnectionReason,
    Event,
    EventKind,
    SipOutcome,
    TimelineEntry,
    Transfer,
)
from gateway.calls.transitions import transition
from gateway.calls.views import details
from gateway.tools.doctor.causes import Facts, cause_of
from gateway.tools.doctor.check import Status
from gateway.tools.doctor.explain import WORDS, Explanation, explain, unknown

START = 1_800_000_000_000
OK, WARN, FAIL = Status.OK, Status.WARN, Status.FAIL
#: What happened, as an event's kind alone, or with its seconds, detail, reason, SIP status.
Story = Sequence[str | Event]


def happened(
    kind: EventKind,
    *,
    after: float = 1,
    detail: str = "",
    reason: DisconnectionReason | None = None,
    sip: int | None = None,
) -> Event:
    outcome = SipOutcome(sip, "Because") if sip else None
    return Event(kind, START + round(after * 1000), reason=reason, sip=outcome, detail=detail)


def told_of(direction: Direction, story: Story, *, after: float = 60) -> Explanation:
    """The explanation, `after` s from its beginning, of a call to which `story` happened."""
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
        event = happened(EventKind(part)) if isinstance(part, str) else part
        call = transition(call, event)
    return explain({**details(call), "deliveries": []}, now=START + round(after * 1000))


def inbound(*story: str | Event, after: float = 60) -> Explanation:
    return told_of(Direction.INBOUND, story, after=after)


def outbound(*story: str | Event, after: float = 60) -> Explanation:
    return told_of(Direction.OUTBOUND, story, after=after)


B_RINGS = happened(EventKind.RINGING, detail="B leg ringing")
A_TRIES = happened(EventKind.LEG_STATUS, after=2, detail="A leg trying")
EXPIRED = happened(EventKind.EXPIRED, after=60, detail="not answered within 60 s")
GAVE_UP = happened(EventKind.HUNG_UP, after=20, detail="A leg no-answer", sip=487)


def dial_failed(sip: int | None, after: float = 3) -> Event:
    return happened(EventKind.DIAL_FAILED, after=after, detail="dial failed", sip=sip)


@pytest.mark.parametrize(
    ("told", "status", "cause", "step"),
    [
        (
            inbound("room_created", B_RINGS, A_TRIES, EXPIRED),
            FAIL,
            "never came into the room: no inbound trunk or dispatch rule",
            "inbound route",
        ),
        (inbound("room_created", EXPIRED), FAIL, "nothing was heard of a dial", "SIP host"),
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
            "LiveKit's call to Jambonz never came",
            "outbound trunk",
        ),
        (inbound("room_created", "no_agent"), FAIL, "no worker took the job", "see worker"),
        (
            inbound(happened(EventKind.LIVEKIT_FAILED, detail="LiveKit cannot be reached")),
            FAIL,
            "LiveKit cannot be reached",
            "LiveKit key",
        ),
        (
            inbound(happened(EventKind.LIVEKIT_FAILED, detail="there is no outbound trunk")),
            FAIL,
            "no outbound trunk",
            "outbound trunk",
        ),
        (inbound("rejected"), FAIL, "as many calls were active as may be", "max_active_calls"),
        (inbound("room_created", GAVE_UP), FAIL, "hung up after 20 s", "SIP host"),
        (
            inbound("caller_joined", "agent_joined", GAVE_UP),
            FAIL,
            "the agent sent no audio",
            "worker's log",
        ),
        (
            inbound("room_created", happened(EventKind.HUNG_UP, after=2)),
            WARN,
            "the caller hung up after 2 s",
            "",
        ),
        (inbound("answered", happened(EventKind.HUNG_UP, after=9)), OK, "far end hung up", ""),
        (
            inbound("answered", happened(EventKind.MAX_DURATION_REACHED, after=9)),
            WARN,
            "as long as a call may",
            "inbound.max_call_duration",
        ),
        (
            inbound("answered", happened(EventKind.AGENT_FAILED, detail="KeyError: 'x'")),
            FAIL,
            "the agent failed: KeyError: 'x'",
            "worker's log",
        ),
        (
            inbound("answered", "agent_gone", "agent_failed"),
            FAIL,
            "the agent's process died",
            "worker's log",
        ),
        (inbound("room_created", dial_failed(403)), FAIL, "no calls in from this", "setup"),
        (inbound("room_created", dial_failed(404)), FAIL, "no trunk or rule", "inbound route"),
        (inbound("room_created", dial_failed(407)), FAIL, "wants credentials", "inbound route"),
        (inbound("room_created", dial_failed(408)), FAIL, "did not answer", "SIP host"),
        (inbound(B_RINGS, dial_failed(408)), FAIL, "never came into the room", "inbound route"),
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
        (outbound("dispatched", dial_failed(403)), FAIL, "this caller ID", "caller_number"),
        (outbound("dispatched", dial_failed(404)), WARN, "no such number", "country code"),
        (outbound("dispatched", dial_failed(486)), WARN, "busy", "later"),
        (outbound("dispatched", dial_failed(480)), WARN, "cannot be reached", "later"),
        (outbound("dispatched", dial_failed(408)), WARN, "did not answer", "later"),
        (outbound("dispatched", dial_failed(503)), FAIL, "trunk's address", "outbound trunk"),
        (outbound("dispatched", dial_failed(603)), WARN, "declined", ""),
        (outbound("dispatched", dial_failed(None)), FAIL, "did not say why", "outbound trunk"),
        (outbound("no_agent"), FAIL, "no worker took the job", "see worker"),
        (outbound("dispatched", "stopped"), WARN, "before anybody answered", ""),
    ],
)
def test_why_a_call_ended(told: Explanation, status: Status, cause: str, step: str) -> None:
    assert told.status is status, told
    assert cause in told.cause
    assert (step in told.next) if step else (told.next == "")


@pytest.mark.parametrize(
    ("told", "status", "cause", "step"),
    [
        (inbound("room_created", after=12), WARN, "no worker has taken the job", "see worker"),
        (inbound("room_created", after=1), OK, "no agent yet", ""),
        (inbound("agent_joined", B_RINGS, after=12), WARN, "does not lead it", "inbound route"),
        (inbound("agent_joined", "caller_joined", after=9), WARN, "once the agent", "worker's log"),
        (inbound("agent_joined", "answered", after=900), OK, "the two are talking", ""),
        (outbound("dispatched", "dialing", after=20), OK, "telephone rings", ""),
    ],
)
def test_how_an_active_call_stands(
    told: Explanation, status: Status, cause: str, step: str
) -> None:
    assert told.status is status
    assert cause in told.cause
    assert step in told.next
    assert " s now" in told.headline


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("+15550107", "the caller was handed to the fallback: +15550107"),
        ("no target left, SIP 503", "the caller was refused, for inbound.fallback has no target"),
    ],
)
def test_where_a_caller_went_then(detail: str, words: str) -> None:
    fallback = happened(EventKind.FALLBACK, after=3, detail=detail)
    assert words in inbound("room_created", "no_agent", fallback).cause


def transferred(sip: SipOutcome | None, reason: DisconnectionReason | None) -> Explanation:
    target = Transfer("+61491570156", START + 5000)
    return inbound(
        "agent_joined",
        "answered",
        Event(EventKind.TRANSFER_STARTED, START + 5000, transfer=target, detail="to +61491570156"),
        Event(EventKind.TRANSFER_ENDED, START + 9000, reason=reason, sip=sip, detail="dial busy"),
    )


def test_a_call_that_was_handed_on() -> None:
    told = transferred(SipOutcome(200, "OK"), DisconnectionReason.CALL_TRANSFER)
    assert (told.status, told.cause) == (OK, "the call was handed on")
    assert "handed on to +61491570156" in [step.what for step in told.happened]


def test_a_call_that_could_not_be_handed_on() -> None:
    told = transferred(SipOutcome(486, "Busy Here"), None)
    assert told.cause == (
        "the two are talking; it was to be handed on to +61491570156, that ended with 486 Busy Here"
    )


@pytest.mark.parametrize("reason", DisconnectionReason)
def test_every_reason_is_explained(reason: DisconnectionReason) -> None:
    told = inbound("room_created", happened(EventKind.HUNG_UP, reason=reason))
    assert "it ended with" not in told.cause
    assert told.cause


@pytest.mark.parametrize("kind", EventKind)
def test_every_event_has_words(kind: EventKind) -> None:
    assert kind in WORDS
    for detail in ("", "because"):
        event = Event(kind, START + 1500, detail=detail, transfer=Transfer("+1", START))
        step = inbound(event).happened[-1]
        assert step.after == 1.5
        assert not step.what.endswith((":", " "))
        assert "{" not in step.what


def test_an_event_that_is_not_known_here_has_its_name() -> None:
    call: dict[str, Any] = {
        **details(Call("call-1", Direction.INBOUND, "nehos", START)),
        "timeline": [{"at": START, "event": "voicemail_reached", "detail": "a beep"}],
    }
    assert explain(call, now=START).happened[0].what == "voicemail reached: a beep"


def test_a_reason_that_is_not_known_here() -> None:
    call = {
        **details(Call("call-1", Direction.INBOUND, "nehos", START)),
        "call_status": "ended",
        "disconnection_reason": "voicemail_reached",
        "end_timestamp": START,
    }
    assert cause_of(Facts.of(call, START)).text == "it ended with voicemail_reached"


def test_callbacks_that_wait_are_told_of() -> None:
    delivery = {
        "event": "call_ended",
        "url": "https://n8n.example.com/hook",
        "status": "pending",
        "last_error": "",
        "last_status": 500,
    }
    call = details(Call("call-1", Direction.INBOUND, "nehos", START))
    told = explain({**call, "deliveries": [delivery]}, now=START)
    assert "callback call_ended to https://n8n.example.com/hook waits: 500" in told.next


def test_a_call_that_nobody_knows() -> None:
    told = unknown("call-1", url="https://gw.example.com", kept_for=3600)
    assert told.status is FAIL
    assert "kept for 3600 s (storage.ended_ttl)" in told.cause


def test_it_is_shown_as_text_and_as_json() -> None:
    told = inbound("room_created", B_RINGS, A_TRIES, EXPIRED)
    lines = told.as_text().splitlines()
    assert lines[0] == (
        "fail    call-1: inbound, +15550100 to +15550199, not_connected (registered_call_timeout)"
    )
    assert "    60.0 s  given up: not answered within 60 s" in lines
    assert [line.split()[0] for line in lines if line[0] != " "] == ["fail", "cause", "next"]
    assert max(map(len, lines)) <= 100
    content = told.as_json()
    assert content["status"] == "fail"
    assert content["happened"][-1] == {
        "after_s": 60.0,
        "what": "given up: not answered within 60 s",
    }
