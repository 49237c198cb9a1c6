"""The events of a call that Jambonz's hooks mean."""

from dataclasses import replace

import pytest

from gateway.calls.call import EventKind
from gateway.calls.outcomes import SipOutcome
from gateway.calls.reasons import DisconnectionReason
from gateway.jambonz.hooks import CallHook, DialHook, StatusHook, dial_event, status_event


def status(
    call_status: str, *, b_leg: bool = False, sip: int | None = None, by: str = ""
) -> object:
    """Kind and reason of the event that a call status hook means."""
    hook = StatusHook(
        "sid",
        call_status,
        parent_call_sid="parent" if b_leg else "",
        sip=SipOutcome(sip) if sip else None,
        terminated_by=by,
    )
    event = status_event(hook, 1)
    return event.kind, event.reason


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (status("trying"), (EventKind.LEG_STATUS, None)),
        (status("trying", b_leg=True), (EventKind.LEG_STATUS, None)),
        (status("ringing", b_leg=True), (EventKind.RINGING, None)),
        (status("early-media", b_leg=True), (EventKind.RINGING, None)),
        (status("in-progress", b_leg=True), (EventKind.ANSWERED, None)),
        (status("in-progress"), (EventKind.ANSWERED, None)),
        (status("completed", by="caller"), (EventKind.HUNG_UP, DisconnectionReason.USER_HANGUP)),
        (status("completed", by="jambonz"), (EventKind.HUNG_UP, DisconnectionReason.AGENT_HANGUP)),
        (status("completed", b_leg=True), (EventKind.LEG_STATUS, None)),
        (status("no-answer", sip=487), (EventKind.HUNG_UP, DisconnectionReason.USER_HANGUP)),
        (status("no-answer", by="jambonz"), (EventKind.HUNG_UP, DisconnectionReason.AGENT_HANGUP)),
        (status("queued"), (EventKind.LEG_STATUS, None)),
        (status("queued", b_leg=True), (EventKind.LEG_STATUS, None)),
        (status("early-media"), (EventKind.LEG_STATUS, None)),
        (
            status("failed", sip=503),
            (EventKind.DIAL_FAILED, DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE),
        ),
        (status("busy", sip=486), (EventKind.DIAL_FAILED, DisconnectionReason.DIAL_BUSY)),
        (status("failed", b_leg=True, sip=486), (EventKind.LEG_STATUS, None)),
        (status("brand-new-status"), (EventKind.LEG_STATUS, None)),
    ],
)
def test_status_hooks(event: object, expected: object) -> None:
    assert event == expected


@pytest.mark.parametrize(
    ("dial_status", "sip", "call_status", "kind", "reason"),
    [
        ("completed", 200, "in-progress", EventKind.HUNG_UP, DisconnectionReason.AGENT_HANGUP),
        ("completed", 200, "completed", EventKind.HUNG_UP, DisconnectionReason.USER_HANGUP),
        ("no-answer", 487, "no-answer", EventKind.HUNG_UP, DisconnectionReason.USER_HANGUP),
        ("in-progress", 200, "in-progress", EventKind.HUNG_UP, DisconnectionReason.AGENT_HANGUP),
        ("failed", 486, "early-media", EventKind.DIAL_FAILED, DisconnectionReason.DIAL_BUSY),
        (
            *("failed", 503, "trying"),
            *(EventKind.DIAL_FAILED, DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE),
        ),
        (
            *("no-answer", 487, "trying"),
            *(EventKind.DIAL_FAILED, DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE),
        ),
        ("failed", 404, "trying", EventKind.DIAL_FAILED, DisconnectionReason.INVALID_DESTINATION),
        ("failed", 603, "trying", EventKind.DIAL_FAILED, DisconnectionReason.USER_DECLINED),
        ("", None, "trying", EventKind.DIAL_FAILED, DisconnectionReason.DIAL_FAILED),
    ],
)
def test_dial_action_hooks(
    dial_status: str,
    sip: int | None,
    call_status: str,
    kind: EventKind,
    reason: DisconnectionReason | None,
) -> None:
    hook = DialHook("sid", call_status, dial_status, SipOutcome(sip) if sip else None)
    event = dial_event(hook, 1)
    assert (event.kind, event.reason) == (kind, reason)


@pytest.mark.field("B18")
def test_a_dial_that_rang_and_was_given_up_was_not_answered() -> None:
    hook = DialHook("sid", "trying", "no-answer", SipOutcome(487))
    event = dial_event(hook, 1, has_rung=True)
    assert event.reason is DisconnectionReason.DIAL_NO_ANSWER


@pytest.mark.field("C1")
@pytest.mark.parametrize("stale", [100, 180, 183, 200, 202])
def test_a_status_that_is_not_final_is_not_the_calls(stale: int) -> None:
    event = dial_event(DialHook("sid", "trying", "failed", SipOutcome(stale)), 1)
    no_answer, failed = DisconnectionReason.DIAL_NO_ANSWER, DisconnectionReason.DIAL_FAILED
    assert event.reason is (no_answer if stale < 200 else failed)
    assert event.sip is None


def test_jambonz_says_who_ended_an_answered_call() -> None:
    hook = DialHook("sid", "completed", "completed", SipOutcome(200), terminated_by="jambonz")
    assert dial_event(hook, 1).reason is DisconnectionReason.AGENT_HANGUP
    by_caller = replace(hook, terminated_by="caller")
    assert dial_event(by_caller, 1).reason is DisconnectionReason.USER_HANGUP


def test_the_cause_of_a_leg_that_failed_is_in_the_timeline() -> None:
    sip = SipOutcome(486, "Busy Here (Q.850 cause 17)")
    event = status_event(StatusHook("sid", "busy", parent_call_sid="parent", sip=sip), 1)
    assert event.detail == "B leg busy, SIP 486 Busy Here (Q.850 cause 17)"


@pytest.mark.field("C9")
def test_a_setting_comes_from_the_portal_or_from_a_trusted_header_of_any_case() -> None:
    hook = CallHook(
        "sid", "", "", "", env_vars={"AGENT_NAME": "sales"}, headers={"x-ACCOUNT-code": "em-01"}
    )
    assert hook.setting("AGENT_NAME") == "sales"
    assert hook.setting("ACCOUNT_CODE") == ""
    assert hook.setting("ACCOUNT_CODE", ["X-Account-Code"]) == "em-01"
    assert hook.setting("AGENT_NAME", ["X-Agent-Name"]) == "sales"


@pytest.mark.field("C7")
@pytest.mark.parametrize(
    ("value", "expected"),
    [(" sales ", "sales"), ("sales\n", "sales"), ("  ", "support"), ("", "support")],
)
def test_a_setting_has_no_blanks_around_it(value: str, expected: str) -> None:
    hook = CallHook(
        "sid", "", "", "", env_vars={"AGENT_NAME": value}, headers={"X-Agent-Name": " support "}
    )
    assert hook.setting("AGENT_NAME", ["X-Agent-Name"]) == expected
