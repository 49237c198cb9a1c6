"""Why a call was not connected, by its SIP status: every final status has one reason."""

import pytest

from gateway.calls.call import Call, Direction, EventKind, TimelineEntry
from gateway.calls.reasons import DisconnectionReason, no_final_response, reason_of_status

#: The statuses for each reason; all others of 300 to 699 are `dial_failed`.
STATUSES = {
    "dial_busy": {486, 600},
    "dial_no_answer": {480},
    "user_declined": {603},
    "invalid_destination": {404, 410, 414, 416, 484, 485, 604},
    "telephony_provider_permission_denied": {401, 402, 403, 407},
    "telephony_provider_unavailable": {408, 430, 487, *range(500, 600)},
    "sip_routing_error": {482, 483, *range(300, 400)},
    "marked_as_spam": {607, 608},
}

#: Retell's words: docs.retellai.com/reliability/debug-call-disconnect.
RETELL = {
    *("user_hangup", "agent_hangup", "call_transfer", "max_duration_reached", "dial_busy"),
    *("dial_failed", "dial_no_answer", "user_declined", "invalid_destination", "marked_as_spam"),
    *("telephony_provider_permission_denied", "telephony_provider_unavailable"),
    *("sip_routing_error", "concurrency_limit_reached", "registered_call_timeout"),
    *("manual_stopped", "inactivity", "voicemail_reached"),
}


@pytest.mark.field("B18", "B19")
@pytest.mark.parametrize("status", range(300, 700))
def test_every_final_status_has_one_reason(status: int) -> None:
    expected = [reason for reason, statuses in STATUSES.items() if status in statuses]
    reason = reason_of_status(status, has_rung=False)
    assert [reason] == (expected or ["dial_failed"])
    rung = reason_of_status(status, has_rung=True)
    assert rung == ("dial_no_answer" if status in {408, 487} else reason)


@pytest.mark.field("B18")
def test_only_a_leg_that_rang_has_a_callee_who_is_out() -> None:
    assert no_final_response(has_rung=True) == "dial_no_answer"
    assert no_final_response(has_rung=False) == "telephony_provider_unavailable"


@pytest.mark.field("B18")
@pytest.mark.parametrize(
    ("direction", "events", "has_rung"),
    [
        (Direction.OUTBOUND, [EventKind.RINGING], True),
        (Direction.OUTBOUND, [EventKind.DIALING], False),
        # A leg that LiveKit dials joins the room before it rings.
        (Direction.OUTBOUND, [EventKind.CALLER_JOINED], False),
        (Direction.INBOUND, [EventKind.ENQUEUED, EventKind.CALLER_JOINED], False),
        (Direction.INBOUND, [EventKind.CALLER_JOINED], True),
        (Direction.INBOUND, [EventKind.ROOM_CREATED], False),
    ],
)
def test_what_proves_that_a_leg_rang(
    direction: Direction, events: list[EventKind], has_rung: bool
) -> None:
    timeline = tuple(TimelineEntry(0, event) for event in events)
    assert Call("call-1", direction, "agent", 0, timeline=timeline).has_rung is has_rung


def test_each_reason_says_what_brings_it_about() -> None:
    descriptions = [reason.description for reason in DisconnectionReason]
    assert all(descriptions)
    assert len(set(descriptions)) == len(descriptions)


def test_the_names_are_retells_where_retell_has_one() -> None:
    own = {reason.value for reason in DisconnectionReason} - RETELL
    assert own == {"no_agent", "agent_error", "connection_lost", "gateway_lost"}
    assert {reason.value for reason in DisconnectionReason} >= RETELL
