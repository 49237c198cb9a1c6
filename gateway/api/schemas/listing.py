"""The query strings of `GET /livekit-api/calls`, with its cursor, and of the live feed."""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate

from gateway.api.schemas.fields import about
from gateway.api.schemas.requests import RequestSchema
from gateway.calls.call import CallStatus, Direction
from gateway.calls.conversation import ConversationProblem
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.search import LONGEST_SEARCH, SHORTEST_SEARCH, searched
from gateway.storage.idempotency import MAX_KEY_LENGTH
from gateway.storage.registry import CallFilter, Position

#: The latest time that a query may name, in ms since epoch: in the year 5138.
LATEST = 99_999_999_999_999
#: Idempotency keys that one request may name.
MAX_KEYS = 100
#: The longest id of a call, in bytes.
MAX_CALL_ID = 128


class Cursor(fields.Field[Position]):
    """Where the previous page ended; base64url of JSON, opaque to clients."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Position:
        try:
            start, call_id = json.loads(base64.urlsafe_b64decode(value))
            return _moment(start), _call_id(call_id)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValidationError("Must be a next_cursor of an earlier page.") from error


def _moment(value: int) -> int:
    """`value` in ms since epoch. Raises ValueError."""
    if type(value) is not int or not 0 <= value <= LATEST:
        raise ValueError(f"{value} is not a time")
    return value


def _call_id(value: str) -> str:
    """`value` if it may be a call's id. Raises ValueError, AttributeError."""
    if not 0 < len(value.encode()) <= MAX_CALL_ID:
        raise ValueError("no call has such an id")
    return value


def write_cursor(position: Position | None) -> str | None:
    if position is None:
        return None
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


class Moment(fields.Field[int]):
    """ms since epoch, or ISO 8601; a time without a zone is UTC."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        try:
            if value.isdecimal():
                return _moment(int(value))
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValidationError(
                "Must be ms since epoch or a time such as 2026-01-31T12:00:00Z."
            ) from error
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


class QueriedNumber(fields.String):
    """A number or URI; a leading blank is the + that a client has not escaped."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs)
        return re.sub(r"^ (?=[0-9])", "+", text).strip()


class SearchText(fields.String):
    """Part of a number or of an id, without what `searched()` leaves out."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = searched(super()._deserialize(value, *args, **kwargs))
        if not SHORTEST_SEARCH <= len(text) <= LONGEST_SEARCH:
            raise ValidationError(
                f"Must have {SHORTEST_SEARCH} to {LONGEST_SEARCH} characters besides + and blanks."
            )
        return text


@dataclass(frozen=True, slots=True)
class ListQuery:
    call_filter: CallFilter
    limit: int
    after: Position | None
    idempotency_keys: Sequence[str]


_WITHOUT_PLUS = about("a number, equal with and without `+`")


class ExportQuerySchema(RequestSchema):
    """Which calls to export; ended ones are among them."""

    status = fields.Enum(CallStatus, by_value=True, load_default=None)
    direction = fields.Enum(Direction, by_value=True, load_default=None)
    from_number = QueriedNumber(load_default=None, metadata=_WITHOUT_PLUS)
    to_number = QueriedNumber(load_default=None, metadata=_WITHOUT_PLUS)
    agent_name = fields.String(load_default=None)
    account_code = fields.String(load_default=None)
    since = Moment(load_default=None)
    until = Moment(load_default=None)
    q = SearchText(
        load_default=None,
        metadata=about("part of a number or of the call's id, without `+` and blanks"),
    )
    disconnection_reason = fields.Enum(DisconnectionReason, by_value=True, load_default=None)
    verdict = fields.Enum(
        ConversationProblem,
        by_value=True,
        load_default=None,
        metadata=about("what was wrong with the conversation, see docs/calls.md"),
    )

    @post_load
    def make_filter(self, data: dict[str, Any], **kwargs: Any) -> CallFilter:
        return CallFilter(search=data.pop("q"), include_ended=True, **data)


class ListQuerySchema(ExportQuerySchema):
    include = fields.String(
        load_default="",
        validate=validate.OneOf(["", "ended"]),
        metadata=about("`ended`: ended calls too"),
    )
    idempotency_key = fields.List(
        fields.String(validate=validate.Length(max=MAX_KEY_LENGTH)),
        load_default=(),
        validate=validate.Length(max=MAX_KEYS),
        metadata=about(
            "of `POST /dispatch`, by the same API key: its call, also if it has "
            f"ended; may be repeated, up to {MAX_KEYS} times"
        ),
    )
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))
    cursor = Cursor(load_default=None)

    @post_load
    def make_filter(self, data: dict[str, Any], **kwargs: Any) -> ListQuery:
        include, limit, after, keys = (
            data.pop(name) for name in ("include", "limit", "cursor", "idempotency_key")
        )
        call_filter = replace(super().make_filter(data), include_ended=include == "ended")
        return ListQuery(call_filter, limit, after, keys)


class FeedQuerySchema(RequestSchema):
    after = fields.String(
        load_default="",
        metadata=about("as Last-Event-ID, for clients that cannot send headers"),
    )
