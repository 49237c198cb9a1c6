"""A room's metadata, and the call that is restored from it."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.calls.call import Call, Direction, EventKind, TimelineEntry
from gateway.livekit.metadata import is_gateway_room, job_metadata, restore_call, room_metadata

URL = "https://gateway.example.com"
START = 1_700_000_000_000
CALL = Call(
    call_id="outbound-0123456789",
    direction=Direction.OUTBOUND,
    agent_name="agent",
    start_timestamp=START,
    from_number="+15550100",
    to_number="+61491570156",
    caller_name="Bob",
    account_code="em-01",
    ringing_timeout=17,
    max_call_duration=120,
    metadata={"destination": "+61491570156", "order": {"id": 7}},
    jambonz={"call_sid": "sid-1"},
    callback_url="https://n8n.example.com/webhook?signature=x",
    callback_events=("call_ended",),
    timeline=(TimelineEntry(START, EventKind.REGISTERED),),
)


def metadata_of(call: Call) -> str:
    return room_metadata(call, own_url=URL)


def test_a_call_is_restored_from_its_rooms_metadata() -> None:
    assert restore_call(metadata_of(CALL), room=CALL.call_id, own_url=URL) == CALL


def test_a_restored_call_lacks_later_events() -> None:
    later = replace(CALL, answer_timestamp=START + 1, livekit={"room_sid": "RM_1"})
    assert restore_call(metadata_of(later), room=CALL.call_id, own_url=URL) == CALL


def test_the_agents_job_lacks_what_only_the_gateway_needs() -> None:
    metadata = json.loads(job_metadata(CALL, own_url=URL))
    assert "call" not in metadata["gateway"]
    assert "n8n.example.com" not in json.dumps(metadata)


def test_only_the_gateway_that_created_the_room_restores_its_call() -> None:
    metadata = metadata_of(CALL)
    assert restore_call(metadata, room="another-room", own_url=URL) is None
    assert restore_call(metadata, room=CALL.call_id, own_url="https://other.example.com") is None


def test_a_gateways_room_is_recognised_by_its_metadata() -> None:
    assert is_gateway_room(metadata_of(CALL))
    assert not is_gateway_room("")
    assert not is_gateway_room('{"theirs": 1}')


def _without(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(metadata_of(CALL))
    fields = content["gateway"] if name in content["gateway"] else content["gateway"]["call"]
    del fields[name]
    return content


@pytest.mark.parametrize("name", ["call", "call_id", "direction", "start_timestamp", "jambonz"])
def test_incomplete_metadata_restores_no_call(name: str) -> None:
    text = json.dumps(_without(name))
    assert restore_call(text, room=CALL.call_id, own_url=URL) is None


@given(some.text() | some.from_regex(r'\{"gateway":.*\}'))
def test_no_metadata_raises(text: str) -> None:
    assert restore_call(text, room=CALL.call_id, own_url=URL) is None
    is_gateway_room(text)
