"""Calls, deliveries and idempotency outcomes as JSON records in Redis and the history, and back.

A record is `{"format": 1, "call": {…}}`; a field that has its default value is left out. Gateways
of different versions may share a Redis: a field that this gateway does not know is ignored, a
missing field gets its default, an unknown event or reason is kept (OpenEnum). A change that needs
more than that gets the next `FORMAT`.
"""

from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import structlog

from gateway.callbacks.delivery import Delivery
from gateway.calls.call import Call
from gateway.errors import ApiError, DialFailed, ErrorCode, LiveKitRefused, RecordUnreadable
from gateway.storage.idempotency import Outcome

log = structlog.get_logger()

#: The format that this gateway writes, and the newest that it reads.
FORMAT = 1


class _Record(msgspec.Struct):
    format: int


class _CallRecord(_Record):
    call: Call


class _DeliveryRecord(_Record):
    delivery: Delivery


class _LiveKitRefusal(msgspec.Struct):
    code: str
    message: str
    status: int
    meta: dict[str, str] = {}


class _ApiRefusal(msgspec.Struct):
    code: ErrorCode
    message: str
    details: dict[str, Any] | None = None


class _OutcomeRecord(_Record):
    """A call, or why the dial of `call_id` has failed: one of the other two is set."""

    call: Call | None = None
    call_id: str = ""
    livekit: _LiveKitRefusal | None = None
    api: _ApiRefusal | None = None


_encode = msgspec.json.Encoder().encode
_record = msgspec.json.Decoder(_Record)
_call_record = msgspec.json.Decoder(_CallRecord)
_delivery_record = msgspec.json.Decoder(_DeliveryRecord)
_outcome_record = msgspec.json.Decoder(_OutcomeRecord)

R = TypeVar("R", bound=_Record)
T = TypeVar("T")


def dump_call(call: Call) -> str:
    return _dump("call", _content(call, _CALL_FIELDS))


def load_call(text: str, key: str) -> Call:
    """`key` is where the record is stored, for the error's text. Raises RecordUnreadable."""
    return _load(_call_record, text, key).call


def dump_delivery(delivery: Delivery) -> str:
    return _dump("delivery", _content(delivery, _DELIVERY_FIELDS))


def load_delivery(text: str, key: str) -> Delivery:
    """As `load_call()`."""
    return _load(_delivery_record, text, key).delivery


def dump_outcome(outcome: Outcome) -> str:
    """Of an outcome that keeps its key."""
    if isinstance(outcome, Call):
        return dump_call(outcome)
    if not isinstance(outcome, DialFailed):
        raise TypeError(f"{outcome!r} does not keep its key: it is not stored")
    cause, call_id = outcome.cause, outcome.call_id
    if isinstance(cause, LiveKitRefused):
        refusal = _LiveKitRefusal(cause.code, cause.message, cause.status, cause.meta)
        return _dump("livekit", refusal, call_id=call_id)
    details = dict(cause.details) if cause.details else None
    return _dump("api", _ApiRefusal(cause.code, cause.message, details), call_id=call_id)


def load_outcome(text: str, key: str) -> Outcome:
    """As `load_call()`."""
    record = _load(_outcome_record, text, key)
    if record.call:
        return record.call
    if livekit := record.livekit:
        refusal = LiveKitRefused(
            livekit.code, livekit.message, status=livekit.status, meta=livekit.meta
        )
        return DialFailed(refusal, record.call_id)
    if api := record.api:
        return DialFailed(ApiError(api.code, api.message, api.details), record.call_id)
    raise _unreadable(key, record.format, "it has no outcome")


def load_readable(load: Callable[[str, str], T], records: Iterable[tuple[str, str]]) -> list[T]:
    """The records, each a key and its text, that can be read; the others are logged."""
    loaded = []
    for key, text in records:
        try:
            loaded.append(load(text, key))
        except RecordUnreadable as error:
            log_unreadable(str(error))
    return loaded


@lru_cache(maxsize=1_000)
def log_unreadable(error: str) -> None:
    """Log `error`, but once: loops meet the same record again and again."""
    log.error("storage.record_unreadable", error=error)


def _dump(name: str, content: object, **more: str) -> str:
    return _encode({"format": FORMAT, name: content, **more}).decode()


def _load(decoder: msgspec.json.Decoder[R], text: str, key: str) -> R:
    try:
        record = decoder.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unreadable(key, _format_of(text), str(error)) from error
    if record.format > FORMAT:
        raise _unreadable(key, record.format)
    return record


def _format_of(text: str) -> int:
    """The format of a record, 0 if it names none."""
    try:
        return _record.decode(text).format
    except (msgspec.DecodeError, RecursionError):
        return 0


def _unreadable(key: str, number: int, reason: str = "") -> RecordUnreadable:
    record = f"the record of {key} is"
    if number > FORMAT:
        newer = f"in format {number}, this gateway reads {FORMAT}: upgrade the gateway"
        return RecordUnreadable(f"{record} {newer}", is_newer=True)
    return RecordUnreadable(f"{record} damaged: {reason}")


def _defaults(record: type[Call | Delivery]) -> list[tuple[str, object]]:
    """Each field's name and default, MISSING for a field that must be given."""
    return [
        (field.name, field.default if field.default_factory is MISSING else field.default_factory())
        for field in fields(record)
    ]


_CALL_FIELDS = _defaults(Call)
_DELIVERY_FIELDS = _defaults(Delivery)


def _content(record: Call | Delivery, defaults: Iterable[tuple[str, object]]) -> dict[str, object]:
    """The fields without their defaults, which msgspec omits for its own classes only."""
    return {
        name: value for name, default in defaults if (value := getattr(record, name)) != default
    }
