"""`GET /livekit-api/calls`: its query string and its cursor."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from gateway.calls.call import CallStatus, Direction
from gateway.storage.registry import CallFilter, Position

#: The latest time that a query may name, in ms since epoch: in the year 5138.
LATEST = 99_999_999_999_999


class Cursor(fields.Field[Position]):
    """Where the previous page ended; base64url of JSON, opaque to clients."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Position:
        try:
            start, call_id = json.loads(base64.urlsafe_b64decode(value))
            _moment(start)
            call_id.encode()
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValidationError("Must be a next_cursor of an earlier page.") from error
        return start, call_id


def _moment(value: int) -> int:
    """`value` in ms since epoch. Raises ValueError."""
    if not isinstance(value, int) or not 0 <= value <= LATEST:
        raise ValueError(f"{value} is not a time")
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


@dataclass(frozen=True, slots=True)
class ListQuery:
    call_filter: CallFilter
    limit: int
    after: Position | None


class ListQuerySchema(Schema):
    class Meta:
        unknown = RAISE

    status = fields.Enum(CallStatus, by_value=True, load_default=None)
    direction = fields.Enum(Direction, by_value=True, load_default=None)
    from_number = fields.String(load_default=None)
    to_number = fields.String(load_default=None)
    agent_name = fields.String(load_default=None)
    account_code = fields.String(load_default=None)
    since = Moment(load_default=None)
    include = fields.String(load_default="", validate=validate.OneOf(["", "ended"]))
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))
    cursor = Cursor(load_default=None)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> ListQuery:
        limit, after = data.pop("limit"), data.pop("cursor")
        call_filter = CallFilter(include_ended=data.pop("include") == "ended", **data)
        return ListQuery(call_filter, limit, after)
