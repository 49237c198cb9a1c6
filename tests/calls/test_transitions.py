"""`transition()`: any order of events, and terminal statuses are final."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls.call import TIMELINE_LIMIT, Call, CallStatus, Direction, Event, EventKind
from gateway.calls.outcomes import SipOutcome, Transfer
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.transitions import transition

START = 1_700_000_000_000

EVENTS = st.lists(
    st.builds(
        Event,
        kind=st.sampled_from(EventKind),
        at=st.integers(START - 5_000, START + 100_000),
        reason=st.none() | st.sampled_from(DisconnectionReason),
        sip=st.none() | st.builds(SipOutcome, st.integers(100, 699), st.just("Reason")),
        ids=st.none() | st.just({"room_sid": "RM_1"}),
        transfer=st.none() | st.builds(Transfer, st.just("+61491570156"), st.just(START)),
        detail=st.text(max_size=400),
    ),
    max_size=120,
)

#: A status may only be followed by one further to the right.
ORDER = [CallStatus.REGISTERED, CallStatus.RINGING, CallStatus.ONGOING]


def call() -> Call:
    return Call("call-1", Direction.INBOUND, "agent", START)


def after(*kinds: EventKind) -> Call:
    current = call()
    for number, kind in enumerate(kinds, start=1):
        current = transition(current, Event(kind, START + number * 1000))
    return current


@given(EVENTS)
def test_any_events_in_any_order(events: list[Event]) -> None:
    current = call()
    for event in events:
        before, current = current, transition(current, event)
        if before.disconnection_reason is DisconnectionReason.AGENT_HANGUP:
            # The agent may say more about it (test_endings.py).
            assert not current.is_active
            assert current.end_timestamp == before.end_timestamp
        elif not before.is_active:
            assert _without_timeline(current) == _without_timeline(before)
        if not before.is_active:
            assert current.report_settled >= before.report_settled
        elif current.is_active:
            assert ORDER.index(current.call_status) >= ORDER.index(before.call_status)
        if before.is_active or event.kind is not EventKind.DIALING:
            assert current.timeline[-1].event is event.kind
        assert len(current.timeline) <= TIMELINE_LIMIT
        assert (current.end_timestamp is None) == current.is_active
        assert (current.disconnection_reason is None) == current.is_active
        assert (current.duration_ms is None) == current.is_active
        assert current.duration_ms is None or current.duration_ms >= 0
        assert current.is_active or not current.is_transferring
        if current.call_status in {CallStatus.ONGOING, CallStatus.ENDED}:
            assert current.answer_timestamp is not None


def _without_timeline(of: Call) -> Call:
    return replace(of, timeline=(), report_settled=False)


@pytest.mark.field("B7")
def test_a_call_that_ended_before_its_dial_is_not_dialed_afterwards() -> None:
    outbound = replace(call(), direction=Direction.OUTBOUND)
    expired = transition(outbound, Event(EventKind.EXPIRED, START + 5_000))
    refused = transition(expired, Event(EventKind.DIALING, START + 5_002))
    assert (refused, refused.is_withdrawn) == (expired, True)


def test_an_answered_call_ends_with_its_hangup() -> None:
    ended = after(
        EventKind.ROOM_CREATED,
        EventKind.CALLER_JOINED,
        EventKind.AGENT_READY,
        EventKind.ANSWERED,
        EventKind.HUNG_UP,
        EventKind.ROOM_FINISHED,
    )
    assert ended.call_status is CallStatus.ENDED
    assert ended.disconnection_reason is DisconnectionReason.USER_HANGUP
    assert ended.duration_ms == 1000
    assert [entry.event for entry in ended.timeline][-1] is EventKind.ROOM_FINISHED


def test_the_first_answer_counts() -> None:
    assert after(EventKind.ANSWERED, EventKind.ANSWERED).answer_timestamp == START + 1000


def test_a_caller_who_hangs_up_while_it_rings_was_not_connected() -> None:
    ended = after(EventKind.RINGING, EventKind.HUNG_UP)
    assert ended.call_status is CallStatus.NOT_CONNECTED
    assert ended.disconnection_reason is DisconnectionReason.USER_HANGUP
    assert ended.duration_ms == 0


def test_leaving_the_room_ends_only_an_answered_call() -> None:
    assert after(EventKind.RINGING, EventKind.CALLER_LEFT).is_active
    assert after(EventKind.ANSWERED, EventKind.CALLER_LEFT).call_status is CallStatus.ENDED


def test_a_call_that_is_transferred_outlives_its_agent() -> None:
    started = Event(EventKind.TRANSFER_STARTED, START, transfer=Transfer("+61491570156", START))
    current = transition(after(EventKind.ANSWERED), started)
    for kind in (EventKind.CALLER_LEFT, EventKind.AGENT_FAILED, EventKind.ROOM_FINISHED):
        current = transition(current, Event(kind, START + 1))
    assert current.is_transferring
    refused = Event(EventKind.TRANSFER_ENDED, START + 2, sip=SipOutcome(486, "Busy Here"))
    back = transition(current, refused)
    assert back.call_status is CallStatus.ONGOING
    assert back.transfer
    assert (back.transfer.sip, back.sip) == (SipOutcome(486, "Busy Here"), None)
    again = transition(back, started)
    assert again.transfer
    assert again.transfer.number == 2
    ended = transition(again, Event(EventKind.HUNG_UP, START + 3))
    assert ended.disconnection_reason is DisconnectionReason.USER_HANGUP
    assert ended.transfer
    assert ended.transfer.ended_at == START + 3


def test_a_failed_agent_is_an_error_in_any_status() -> None:
    for earlier in ([], [EventKind.RINGING], [EventKind.ANSWERED]):
        failed = after(*earlier, EventKind.AGENT_FAILED)
        assert failed.call_status is CallStatus.ERROR
        assert failed.disconnection_reason is DisconnectionReason.AGENT_ERROR


def test_an_events_own_reason_overrides_that_of_its_kind() -> None:
    busy = Event(
        EventKind.DIAL_FAILED,
        START,
        reason=DisconnectionReason.DIAL_BUSY,
        sip=SipOutcome(486, "Busy Here"),
    )
    failed = transition(call(), busy)
    assert failed.disconnection_reason is DisconnectionReason.DIAL_BUSY
    assert failed.sip == SipOutcome(486, "Busy Here")


def test_a_long_timeline_keeps_its_first_and_last_entries() -> None:
    current = transition(call(), Event(EventKind.ROOM_CREATED, START, detail="first"))
    for number in range(500):
        current = transition(current, Event(EventKind.LEG_STATUS, START, detail=str(number)))
    assert len(current.timeline) == TIMELINE_LIMIT
    assert current.timeline[0].detail == "first"
    assert current.timeline[-1].detail == "499"


def test_a_hangup_can_bring_the_answer_that_was_lost() -> None:
    hung_up = Event(EventKind.HUNG_UP, START + 9_000, answered_at=START + 4_000)
    ended = transition(call(), hung_up)
    assert ended.call_status is CallStatus.ENDED
    assert ended.duration_ms == 5_000
    ended = transition(after(EventKind.ANSWERED), hung_up)
    assert ended.answer_timestamp == START + 1_000
