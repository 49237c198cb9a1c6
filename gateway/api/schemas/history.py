"""What clients ask the history, and the shapes of what it answers."""

from marshmallow import fields, validate

from gateway.api.schemas.fields import about
from gateway.api.schemas.listing import QueriedNumber
from gateway.api.schemas.requests import RequestSchema
from gateway.api.schemas.responses import Response, moment
from gateway.history.audit import Action


class CallerSchema(RequestSchema):
    number = QueriedNumber(
        required=True,
        validate=validate.Length(3, 300),
        metadata=about("the caller's of inbound, the callee's of outbound calls"),
    )


class AuditQuerySchema(RequestSchema):
    limit = fields.Integer(load_default=100, validate=validate.Range(1, 500))
    before = fields.Integer(
        load_default=None,
        validate=validate.Range(1, 2**53),
        metadata=about("`next_before` of the page before"),
    )


class AuditEntrySchema(Response):
    at = moment()
    client = fields.String(metadata=about("the API key's name"))
    action = fields.Enum(Action, by_value=True)
    call_id = fields.String(metadata=about("empty where it is about no one call"))
    detail = fields.String()


class AuditSchema(Response):
    entries = fields.List(fields.Nested(AuditEntrySchema))
    next_before = fields.Integer(allow_none=True)


class DeletedSchema(Response):
    deleted = fields.Integer()
    active = fields.Integer(
        metadata=about("calls with that person that have not ended: not deleted")
    )


class TodaySchema(Response):
    """Calls since midnight; all but `calls` and `active` is about those that have ended."""

    since = moment()
    calls = fields.Integer()
    active = fields.Integer()
    ended = fields.Integer()
    answered = fields.Integer()
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer())
    silent = fields.Integer(metadata=about("calls in which the caller heard silence"))
    first_audio_p50_ms = fields.Integer(allow_none=True)
    is_complete = fields.Boolean(
        metadata=about("false while the history does not answer: some are missing")
    )
