"""Records in Redis: what other versions of the gateway wrote, and what is damaged."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.callbacks.delivery import Delivery, DeliveryStatus
from gateway.calls.absences import AgentAbsence, CallerAbsence
from gateway.calls.call import Call, CallStatus, Direction, EventKind, TimelineEntry
from gateway.calls.outcomes import SipOutcome, Transfer, TransferKind, TransferRequest
from gateway.calls.participants import Leg, Participant, ParticipantKind
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.silences import AgentSilence
from gateway.calls.views import summary
from gateway.errors import ApiError, DialFailed, ErrorCode, LiveKitRefused, RecordUnreadable
from gateway.storage.serialization import (
    FORMAT,
    dump_call,
    dump_delivery,
    dump_outcome,
    load_call,
    load_delivery,
    load_outcome,
)
from tests.storage.conftest import START, call

KEY = "{gateway}:call:call-0001"
CALL = call(1)
FULL_CALL = Call(
    call_id="call-1",
    direction=Direction.OUTBOUND,
    agent_name="another agent",
    start_timestamp=START,
    from_number="+15550100",
    to_number="+15550101",
    caller_name="Bob Ü",
    asserted_identity="+15550103",
    diversion="+15550104",
    caller_answered=True,
    account_code="em-01",
    ringing_timeout=20,
    max_call_duration=600,
    call_status=CallStatus.ENDED,
    answer_timestamp=START + 1,
    end_timestamp=START + 2,
    disconnection_reason=DisconnectionReason.CALL_TRANSFER,
    sip=SipOutcome(200, "OK"),
    transfer=Transfer(
        "+15550102",
        START + 1,
        2,
        "sid-2",
        START + 2,
        SipOutcome(486, "Busy Here"),
        TransferKind.WARM,
        "sip_+15550102",
        DisconnectionReason.DIAL_BUSY,
        "Anna Example wants to move her appointment.",
    ),
    transfer_request=TransferRequest(
        "request-1", START + 3, "+15550102", TransferKind.ANNOUNCED, "She waits."
    ),
    metadata={"order": {"id": 7, "big": 10**30, "tags": ["a", None, 1.5]}, "note": "\u0000\u2028"},
    jambonz={"call_sid": "sid-1"},
    livekit={"room_sid": "RM_1"},
    timeline=(
        TimelineEntry(START, EventKind.REGISTERED),
        TimelineEntry(START + 1, EventKind.ANSWERED, "seen in the room"),
    ),
    report={"words": 3, "transcript": [{"role": "agent", "text": "Hello"}]},
    agent_came=True,
    agent_audible=True,
    agent_absence=AgentAbsence(START + 2, "AJ_1", DisconnectionReason.AGENT_HANGUP, "left"),
    agent_silences=(AgentSilence(START + 1, 7_000),),
    caller=Leg("sip_+15550100", "SCL_1"),
    caller_absence=CallerAbsence(
        START + 2, DisconnectionReason.CONNECTION_LOST, "left", may_return=True
    ),
    participants=(
        Participant("sip_+15550102", ParticipantKind.SIP, START, START + 2, "+15550102", "SCL"),
        Participant("agent-AJ_1", ParticipantKind.AGENT, START),
    ),
    handed_over=True,
    end_presumed=True,
    report_settled=True,
    callback_url="https://n8n.example.com/hook?signature=x",
    callback_events=("call_ended", "call_analyzed"),
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
DELIVERY = Delivery(
    "dlv_1_a", "call-1", "call_ended", "evt_1", "https://n8n.example.com/?a=b", "{}", START
)


def changed(text: str, change: Callable[[dict[str, Any]], object]) -> str:
    """The record `text` after `change`."""
    record: dict[str, Any] = json.loads(text)
    change(record)
    return json.dumps(record)


@pytest.mark.parametrize("original", [CALL, FULL_CALL], ids=["few fields", "all fields"])
def test_a_call_is_loaded_as_it_was_stored(original: Call) -> None:
    loaded = load_call(dump_call(original), KEY)
    assert loaded == original
    assert all(type(entry) is TimelineEntry for entry in loaded.timeline)


def test_every_field_of_a_call_is_in_that_test() -> None:
    defaults = call(1, jambonz={}, agent_came=False)
    same = [
        name
        for name in Call.__dataclass_fields__
        if getattr(FULL_CALL, name) == getattr(defaults, name)
    ]
    assert same == []


def test_fields_with_their_defaults_are_left_out() -> None:
    record = json.loads(dump_call(CALL))
    assert record == {
        "format": FORMAT,
        "call": {
            "call_id": "call-0001",
            "direction": "inbound",
            "agent_name": "agent",
            "start_timestamp": START + 1,
            "jambonz": {"call_sid": "sid-1"},
            "agent_came": True,
        },
    }


def test_a_delivery_is_loaded_as_it_was_stored() -> None:
    tried = replace(
        DELIVERY,
        status=DeliveryStatus.FAILED,
        attempts=3,
        last_attempt_at=START + 5,
        last_status=503,
        last_error="answered 503",
        pending_since=START,
    )
    for delivery in (DELIVERY, tried):
        assert load_delivery(dump_delivery(delivery), KEY) == delivery


def test_outcomes_are_loaded_as_they_were_stored() -> None:
    assert load_outcome(dump_outcome(FULL_CALL), KEY) == FULL_CALL
    unanswered = ApiError(ErrorCode.NOT_ANSWERED, "no answer", {"a": ["b"]})
    refused = LiveKitRefused("permission_denied", "no", status=403, meta={"sip_status_code": "403"})
    causes: list[ApiError | LiveKitRefused] = [unanswered, refused]
    for cause in causes:
        loaded = load_outcome(dump_outcome(DialFailed(cause, "call-1")), KEY)
        assert isinstance(loaded, DialFailed)
        assert loaded.call_id == "call-1"
        assert type(loaded.cause) is type(cause)
        assert vars(loaded.cause) == vars(cause)


@pytest.mark.field("D7")
def test_fields_of_a_newer_gateway_are_ignored() -> None:
    def add_fields(record: dict[str, Any]) -> None:
        stored = record["call"]
        for fields in (record, stored, stored["sip"], stored["transfer"], stored["agent_absence"]):
            fields["of_a_newer_version"] = {"a": [1]}

    assert load_call(changed(dump_call(FULL_CALL), add_fields), KEY) == FULL_CALL
    delivery = changed(dump_delivery(DELIVERY), lambda record: record["delivery"].update(new=1))
    assert load_delivery(delivery, KEY) == DELIVERY
    cause = ApiError(ErrorCode.NOT_ANSWERED, "no")
    unanswered = dump_outcome(DialFailed(cause, "call-1"))
    unanswered = changed(unanswered, lambda record: record["api"].update(new=1))
    assert isinstance(load_outcome(unanswered, KEY), DialFailed)
    refused = dump_outcome(DialFailed(LiveKitRefused("canceled", "no", status=408), "call-1"))
    refused = changed(refused, lambda record: record["livekit"].update(new=1))
    assert isinstance(load_outcome(refused, KEY), DialFailed)


@pytest.mark.field("D7")
def test_events_and_reasons_of_a_newer_gateway_are_kept() -> None:
    def add_values(record: dict[str, Any]) -> None:
        record["call"]["disconnection_reason"] = "of_a_newer_version"
        record["call"]["timeline"][0][1] = "happened_newly"

    loaded = load_call(changed(dump_call(FULL_CALL), add_values), KEY)
    assert loaded.disconnection_reason == "of_a_newer_version"
    assert loaded.timeline[0].event == "happened_newly"
    assert load_call(dump_call(loaded), KEY) == loaded
    assert summary(loaded)["disconnection_reason"] == "of_a_newer_version"


def test_fields_that_an_older_gateway_did_not_have_get_their_defaults() -> None:
    text = changed(dump_call(FULL_CALL), lambda record: record["call"].pop("agent_absence"))
    assert load_call(text, KEY) == replace(FULL_CALL, agent_absence=None)
    text = changed(dump_call(FULL_CALL), lambda record: record["call"]["transfer"].pop("sip"))
    loaded = load_call(text, KEY)
    assert loaded.transfer
    assert loaded.transfer.sip is None
    text = changed(dump_call(FULL_CALL), lambda record: record["call"]["timeline"][1].pop())
    assert load_call(text, KEY).timeline[1] == TimelineEntry(START + 1, EventKind.ANSWERED)


@pytest.mark.parametrize(
    "text",
    [
        dump_call(CALL).replace(f'"format":{FORMAT}', f'"format":{FORMAT + 1}'),
        f'{{"format": {FORMAT + 1}, "call": "in another shape"}}',
        f'{{"format": {FORMAT + 1}}}',
    ],
)
def test_a_newer_format_is_named_in_the_error(text: str) -> None:
    for load in (load_call, load_delivery, load_outcome):
        with pytest.raises(RecordUnreadable, match=r"call-0001 is in format 2.*upgrade") as error:
            load(text, KEY)
        assert error.value.is_newer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        dump_call(CALL)[:-10],
        dump_call(CALL).replace(f'"format":{FORMAT},', ""),
        dump_call(CALL).replace("inbound", "sideways"),
        changed(dump_call(CALL), lambda record: record["call"].pop("call_id")),
        changed(dump_call(CALL), lambda record: record["call"].update(start_timestamp="now")),
        f'{{"format": {FORMAT}}}',
    ],
)
def test_a_damaged_record_is_named_in_the_error(text: str) -> None:
    with pytest.raises(RecordUnreadable, match=r"call-0001 is damaged") as error:
        load_call(text, KEY)
    assert not error.value.is_newer
    with pytest.raises(RecordUnreadable):
        load_delivery(text, KEY)
    with pytest.raises(RecordUnreadable):
        load_outcome(text, KEY)
