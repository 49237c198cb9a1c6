"""The shapes of what the doors answer, for the OpenAPI document; the views write them."""

from typing import Any

from marshmallow import INCLUDE, RAISE, Schema, fields, validate

from gateway.callbacks.delivery import DeliveryStatus
from gateway.calls.call import CallStatus, Direction, DisconnectionReason, EventKind


def _moment(**kwargs: Any) -> fields.Integer:
    return fields.Integer(metadata={"description": "ms since epoch"}, **kwargs)


class _Answer(Schema):
    """Every field is there, and no other."""

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.required = True


class VerbSchema(Schema):
    """One Jambonz verb; its other properties are those of @jambonz/verb-specifications."""

    class Meta:
        unknown = INCLUDE

    verb = fields.String(required=True)


class ApplicationSettingSchema(_Answer):
    type = fields.String()
    description = fields.String()
    required = fields.Boolean()


class ApplicationSettingsSchema(_Answer):
    AGENT_NAME = fields.Nested(ApplicationSettingSchema)
    ACCOUNT_CODE = fields.Nested(ApplicationSettingSchema)


class SipOutcomeSchema(_Answer):
    status = fields.Integer()
    reason = fields.String()


class TransferOutcomeSchema(_Answer):
    target = fields.String()
    started_at = _moment()
    ended_at = _moment(allow_none=True)
    sip = fields.Nested(SipOutcomeSchema, allow_none=True)


class CallSummarySchema(_Answer):
    call_id = fields.String()
    direction = fields.Enum(Direction, by_value=True)
    call_status = fields.Enum(CallStatus, by_value=True)
    from_number = fields.String()
    to_number = fields.String()
    agent_name = fields.String()
    account_code = fields.String()
    metadata = fields.Dict(keys=fields.String())
    start_timestamp = _moment()
    answer_timestamp = _moment(allow_none=True)
    end_timestamp = _moment(allow_none=True)
    duration_ms = fields.Integer(allow_none=True)
    disconnection_reason = fields.Enum(DisconnectionReason, by_value=True, allow_none=True)
    sip = fields.Nested(SipOutcomeSchema, allow_none=True)
    transfer = fields.Nested(TransferOutcomeSchema, allow_none=True)


class TimelineEntrySchema(_Answer):
    at = _moment()
    event = fields.Enum(EventKind, by_value=True)
    detail = fields.String()


class DeliverySchema(_Answer):
    delivery_id = fields.String()
    event = fields.String()
    event_id = fields.String()
    url = fields.String()
    status = fields.Enum(DeliveryStatus, by_value=True)
    attempts = fields.Integer()
    created_at = _moment()
    last_attempt_at = _moment(allow_none=True)
    last_status = fields.Integer(allow_none=True)
    last_error = fields.String()


class CallSchema(CallSummarySchema):
    report = fields.Dict(keys=fields.String(), allow_none=True)
    caller_name = fields.String()
    jambonz = fields.Dict(keys=fields.String(), values=fields.String())
    livekit = fields.Dict(keys=fields.String(), values=fields.String())
    timeline = fields.List(fields.Nested(TimelineEntrySchema))
    deliveries = fields.List(fields.Nested(DeliverySchema))


class CallsSchema(_Answer):
    calls = fields.List(fields.Nested(CallSummarySchema))
    active = fields.Integer()
    next_cursor = fields.String(allow_none=True)


class DispatchedSchema(_Answer):
    dispatch_id = fields.String(allow_none=True)
    job_id = fields.String(allow_none=True)
    room = fields.String()
    agent_name = fields.String()
    metadata = fields.Dict(keys=fields.String())
    call_id = fields.String()
    call_status = fields.Enum(CallStatus, by_value=True)


class WebhooksSeenSchema(_Answer):
    received = fields.Integer()
    last_received_at = _moment(allow_none=True)
    rooms = fields.List(fields.String())


class CountedSchema(_Answer):
    count = fields.Integer()
    last_at = _moment(allow_none=True)


class DiagnosticsSchema(_Answer):
    version = fields.String()
    strategy = fields.String()
    livekit_webhooks = fields.Nested(WebhooksSeenSchema)
    legacy_calls = fields.Nested(CountedSchema)
    stray_rooms = fields.Nested(CountedSchema)
    refused = fields.Dict(keys=fields.String(), values=fields.Integer())


class AliveSchema(_Answer):
    status = fields.String(validate=validate.Equal("ok"))


class ChecksSchema(_Answer):
    livekit = fields.String()
    storage = fields.String()
    draining = fields.String()


class ReadySchema(_Answer):
    status = fields.String(validate=validate.OneOf(["ok", "not_ready"]))
    checks = fields.Nested(ChecksSchema)


class TwirpSchema(_Answer):
    """LiveKit's own error."""

    code = fields.String()
    msg = fields.String()
    meta = fields.Dict(keys=fields.String(), values=fields.String())


class CarrierSchema(_Answer):
    status_code = fields.Integer()
    status = fields.String()


class ErrorSchema(Schema):
    """Every refusal; `twirp` and `sip` come with 502."""

    class Meta:
        unknown = RAISE

    error = fields.String(required=True)
    message = fields.String(required=True)
    details = fields.Dict(keys=fields.String())
    twirp = fields.Nested(TwirpSchema)
    sip = fields.Nested(CarrierSchema)
