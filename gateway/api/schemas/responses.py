"""What every response has, and the shapes of those that are not about calls."""

from typing import Any

from marshmallow import INCLUDE, RAISE, Schema, fields, validate

from gateway.api.schemas.fields import about
from gateway.history.writer import HistoryState


def moment(**kwargs: Any) -> fields.Integer:
    return fields.Integer(metadata=about("ms since epoch"), **kwargs)


class Response(Schema):
    """Every field is present, and no other."""

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.required = True


class VerbSchema(Schema):
    """One Jambonz verb; its other properties are those of @jambonz/verb-specifications."""

    class Meta:
        unknown = INCLUDE

    verb = fields.String(required=True)


class ApplicationSettingSchema(Response):
    type = fields.String()
    description = fields.String()
    required = fields.Boolean()


class ApplicationSettingsSchema(Response):
    AGENT_NAME = fields.Nested(ApplicationSettingSchema)
    ACCOUNT_CODE = fields.Nested(ApplicationSettingSchema)


class WebhookCountersSchema(Response):
    received = fields.Integer()
    last_received_at = moment(allow_none=True)
    rooms = fields.List(fields.String())


class CounterSchema(Response):
    count = fields.Integer()
    last_at = moment(allow_none=True)


class HistorySchema(Response):
    state = fields.Enum(HistoryState, by_value=True)
    problem = fields.String(metadata=about("why nothing is saved now"))
    waiting = fields.Integer(metadata=about("ended calls that are not saved yet"))
    lost = fields.Integer(metadata=about("ended calls that were not saved"))
    audit_lost = fields.Integer(metadata=about("audit entries that only the log has"))


class DiagnosticsSchema(Response):
    version = fields.String()
    strategy = fields.String()
    livekit_webhooks = fields.Nested(WebhookCountersSchema)
    call_hooks = fields.Integer()
    status_hooks = fields.Nested(CounterSchema)
    legacy_calls = fields.Nested(CounterSchema)
    stray_rooms = fields.Nested(CounterSchema)
    stray_legs = fields.Nested(CounterSchema)
    refused = fields.Dict(keys=fields.String(), values=fields.Integer())
    log_lines_lost = fields.Integer()
    history = fields.Nested(HistorySchema)


class HealthSchema(Response):
    status = fields.String(validate=validate.Equal("ok"))


class ChecksSchema(Response):
    livekit = fields.String()
    storage = fields.String()
    draining = fields.String()


class ReadinessSchema(Response):
    status = fields.String(validate=validate.OneOf(["ok", "not_ready"]))
    checks = fields.Nested(ChecksSchema)


class TwirpSchema(Response):
    """LiveKit's own error."""

    code = fields.String()
    msg = fields.String()
    meta = fields.Dict(keys=fields.String(), values=fields.String())


class CarrierSchema(Response):
    status_code = fields.Integer()
    status = fields.String()


class ErrorSchema(Schema):
    """Every error; `twirp` and `sip` come with 502.

    `call_id` is the call that was made before the error, if one was.
    """

    class Meta:
        unknown = RAISE

    error = fields.String(required=True)
    message = fields.String(required=True)
    call_id = fields.String()
    details = fields.Dict(keys=fields.String())
    twirp = fields.Nested(TwirpSchema)
    sip = fields.Nested(CarrierSchema)
