"""The body of `POST /dispatch`: the n8n guide's fields and ours, checked."""

from dataclasses import dataclass
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates

from gateway.calls.destinations import Destination, parse_destination
from gateway.livekit.metadata import GATEWAY_KEY
from gateway.outbound.service import CallOrder

#: What a callback may be about; see docs/n8n.md.
CALLBACK_EVENTS = (
    "call_started",
    "transfer_started",
    "transfer_ended",
    "call_ended",
    "call_analyzed",
)
#: The guide's own keys, in its order: what the agent is told of a call, beside the user's own.
GUIDE_KEYS = (
    "destination",
    "account_code",
    "transfer_target",
    "caller_id",
    "caller_number",
    "caller_name",
)

_SHORT = validate.Length(1, 128)
# What goes into SIP headers must not be able to end one.
_HEADER_TEXT = validate.Regexp(
    r"[^\x00-\x1f\x7f\"<>]{1,128}\Z", error="Must be 1 to 128 characters without quotes or <>."
)


class Number(fields.Field[Destination]):
    """A number or SIP address to call."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Destination:
        try:
            return parse_destination(str(value) if isinstance(value, str) else "")
        except ValueError as error:
            raise ValidationError(f"Not a destination: it {error}.") from error


@dataclass(frozen=True, slots=True)
class DispatchRequest:
    order: CallOrder
    idempotency_key: str


class DispatchSchema(Schema):
    class Meta:
        unknown = RAISE

    destination = Number(required=True)
    account_code = fields.String(required=True, validate=_HEADER_TEXT)
    transfer_target = Number()
    caller_id = fields.String(validate=_HEADER_TEXT)
    caller_number = fields.String(validate=_HEADER_TEXT)
    caller_name = fields.String(validate=_HEADER_TEXT)
    metadata = fields.Dict(keys=fields.String(), load_default=dict)
    agent_name = fields.String(validate=_SHORT, load_default="")
    session_options = fields.Dict(keys=fields.String(), load_default=dict)
    max_call_duration = fields.Integer(validate=validate.Range(10, 86_400), load_default=None)
    ringing_timeout = fields.Integer(validate=validate.Range(1, 120), load_default=None)
    record_call = fields.Boolean(load_default=False)
    wait = fields.String(validate=validate.OneOf(["none", "early", "answer"]), load_default="early")
    callback_url = fields.String(load_default="")
    callback_events = fields.List(
        fields.String(validate=validate.OneOf(CALLBACK_EVENTS)), load_default=list
    )
    idempotency_key = fields.String(validate=validate.Length(1, 255), load_default="")

    @validates("metadata")
    def keep_our_keys(self, value: dict[str, Any], data_key: str) -> None:
        taken = sorted(value.keys() & {*GUIDE_KEYS, GATEWAY_KEY})
        if taken:
            raise ValidationError(f"These keys are taken, use others: {', '.join(taken)}.")

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> DispatchRequest:
        texts = {key: getattr(data.get(key), "text", data.get(key)) for key in GUIDE_KEYS}
        given = {key: text for key, text in texts.items() if text}
        metadata = {**given, **data.pop("metadata")}
        data.pop("transfer_target", None)
        key = data.pop("idempotency_key")
        events = tuple(data.pop("callback_events"))
        return DispatchRequest(CallOrder(metadata=metadata, callback_events=events, **data), key)
