"""What clients send about the history: whom to delete, which part of the audit to read."""

from marshmallow import fields, validate

from gateway.api.schemas.listing import QueriedNumber
from gateway.api.schemas.requests import RequestSchema


class CallerSchema(RequestSchema):
    number = QueriedNumber(
        required=True,
        validate=validate.Length(3, 300),
        metadata={"description": "the caller's of inbound, the callee's of outbound calls"},
    )


class AuditQuerySchema(RequestSchema):
    limit = fields.Integer(load_default=100, validate=validate.Range(1, 500))
    before = fields.Integer(
        load_default=None,
        validate=validate.Range(1, 2**53),
        metadata={"description": "`next_before` of the page before"},
    )
