"""A call as a row of the history, and back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Row

from gateway.calls.call import Call
from gateway.calls.conversation import conversation_of
from gateway.calls.search import comparable, search_text
from gateway.calls.views import details, listed
from gateway.history.today import SILENT
from gateway.storage.registry import Position
from gateway.storage.serialization import dump_call, load_call
from gateway.storage.unsaved import UnsavedCall

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class SavedCall:
    """A call as the history has it; `text` is JSON: `views.listed()`."""

    position: Position
    text: str

    @property
    def view(self) -> Mapping[str, Any]:
        view: Mapping[str, Any] = _decode(self.text)
        return view


def row_of(item: UnsavedCall, call: Call) -> dict[str, Any]:
    """The columns of CALLS for `call`, which is the item's."""
    conversation = conversation_of(call)
    # Where a call's callbacks went may be a secret, and is of no use after them.
    kept = replace(call, callback_url="", callback_events=())
    columns = {
        "call_id": call.call_id,
        "revision": item.revision,
        "start_timestamp": call.start_timestamp,
        "answer_timestamp": call.answer_timestamp,
        "end_timestamp": call.end_timestamp or call.start_timestamp,
        "direction": call.direction,
        "call_status": call.call_status,
        "disconnection_reason": call.disconnection_reason,
        "agent_name": call.agent_name,
        "account_code": call.account_code,
        "from_number": comparable(call.from_number),
        "to_number": comparable(call.to_number),
        "search": search_text(call),
        "is_silent": conversation is not None and not SILENT.isdisjoint(conversation.problems),
        "first_audio_ms": conversation.first_audio_ms if conversation else None,
        "verdict": conversation.verdict if conversation else None,
        "listed": _encode(listed(call)).decode(),
        "deliveries": _encode(item.deliveries).decode(),
        "record": dump_call(kept),
    }
    return {name: storable(value) for name, value in columns.items()}


def details_of(row: Row[Any]) -> Mapping[str, Any]:
    """Everything about a call, from its `call_id`, `record` and `deliveries`.

    Raises RecordUnreadable.
    """
    call = load_call(row.record, f"{row.call_id} in the history")
    return {**details(call), "deliveries": _decode(row.deliveries)}


def storable(value: Any) -> Any:
    """Text without what no database can store or be asked for; JSON has it escaped."""
    if not isinstance(value, str):
        return value
    return str(value).replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
