"""What a room's metadata keeps of a call, and the call that is made of it again."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.calls.call import Call, Direction, EventKind, TimelineEntry
from gateway.livekit.metadata import is_ours, job_metadata, restore_call, room_metadata

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


def kept(call: Call) -> str:
    return room_metadata(call, own_url=URL)


def test_a_call_comes_back_from_its_room() -> None:
    assert restore_call(kept(CALL), room=CALL.call_id, own_url=URL) == CALL


def test_what_happened_since_is_not_in_it() -> None:
    later = replace(CALL, answer_timestamp=START + 1, livekit={"room_sid": "RM_1"})
    assert restore_call(kept(later), room=CALL.call_id, own_url=URL) == CALL


def test_the_agent_is_not_told_what_is_only_ours() -> None:
    told = json.loads(job_metadata(CALL, own_url=URL))
    assert "call" not in told["gateway"]
    assert "n8n.example.com" not in json.dumps(told)


def test_rooms_of_others_are_none_of_ours() -> None:
    assert restore_call(kept(CALL), room="another-room", own_url=URL) is None
    assert restore_call(kept(CALL), room=CALL.call_id, own_url="https://other.example.com") is None
    assert is_ours(kept(CALL))
    assert not is_ours("")
    assert not is_ours('{"theirs": 1}')


def _without(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(kept(CALL))
    where = content["gateway"] if name in content["gateway"] else content["gateway"]["call"]
    del where[name]
    return content


@pytest.mark.parametrize("name", ["call", "call_id", "direction", "start_timestamp", "jambonz"])
def test_a_room_that_lacks_something_is_left_alone(name: str) -> None:
    text = json.dumps(_without(name))
    assert restore_call(text, room=CALL.call_id, own_url=URL) is None


@given(some.text() | some.from_regex(r'\{"gateway":.*\}'))
def test_any_metadata_is_borne(text: str) -> None:
    assert restore_call(text, room=CALL.call_id, own_url=URL) is None
    is_ours(text)
